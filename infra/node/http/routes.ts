/** The node's routes: a table, and the matching of a path to its entries. */
import { binaryExtension } from '../../../schema/binary-tensors.ts';
import { SppError } from '../../../schema/errors.ts';
import { headerNames } from '../../../schema/headers.ts';
import type { NodeReport, NodeState } from '../../../schema/node-report.ts';
import type { ModelMetadata } from '../../../schema/protocol.ts';
import type { InFlight } from '../in-flight.ts';
import type { NodeMetrics } from '../metrics.ts';
import type { ServedModel } from '../model/served-model.ts';
import { quote } from '../tensors.ts';
import { type Answer, type Exchange, jsonAnswer } from './exchange.ts';
import { answerInfer } from './infer.ts';

/** A version, and the count of requests that hold it. */
export interface VersionInService {
  readonly model: ServedModel;
  readonly inFlight: InFlight;
}

/** What the routes need of the node around them. */
export interface NodeView {
  readonly state: NodeState;
  /** The model in service, with the count of requests that hold it; undefined until there is one. */
  readonly current: VersionInService | undefined;
  /** Those before it, for who names them, for a while each. */
  readonly superseded: readonly VersionInService[];
  report(): NodeReport;
}

export interface RouteOptions {
  readonly node: NodeView;
  readonly name: string;
  readonly maxBodyBytes: number;
  readonly metrics: NodeMetrics;
}

/** What a path's parameters were, decoded. */
export type PathParams = Readonly<Record<string, string>>;

export interface Route {
  readonly method: 'GET' | 'POST';
  /** Segments that begin with a colon are parameters. */
  readonly path: string;
  /** Health is for probes, which have no token. */
  readonly open?: true;
  readonly handle: (exchange: Exchange, params: PathParams) => Answer | Promise<Answer>;
  /** Called with whatever a request for this route was refused for, `handle` asked or not; the signal's reason where its client had left. */
  readonly refused?: (error: unknown, exchange: Exchange) => void;
}

export interface RouteMatch {
  /** Undefined where the path is known, but not with this method, or not at all. */
  readonly route: Route | undefined;
  readonly params: PathParams;
  /** Where there is no route: methods that the path takes; none where it is not known. */
  readonly allow: readonly string[];
}

/** @returns the route of a request; `HEAD` is answered as `GET` is */
export function routeMatcher(routes: readonly Route[]): (method: string, path: string) => RouteMatch {
  const patterns = routes.map((route) => ({ route, segments: route.path.split('/') }));
  return (method, path) => {
    const given = path.split('/');
    const wanted = method === 'HEAD' ? 'GET' : method;
    for (const { route, segments } of patterns)
      if (route.method === wanted && fits(segments, given))
        return { route, params: paramsOf(segments, given), allow: [route.method] };
    const here = patterns.filter(({ segments }) => fits(segments, given));
    return { route: undefined, params: {}, allow: here.map(({ route }) => route.method) };
  };
}

function fits(segments: readonly string[], given: readonly string[]): boolean {
  if (segments.length !== given.length) return false;
  // From the end, where paths differ.
  for (let i = segments.length - 1; i >= 0; i--) {
    const segment = segments[i];
    if (segment?.startsWith(':') ? given[i] === '' : segment !== given[i]) return false;
  }
  return true;
}

function paramsOf(segments: readonly string[], given: readonly string[]): PathParams {
  const params: Record<string, string> = {};
  for (const [i, segment] of segments.entries())
    if (segment.startsWith(':')) params[segment.slice(1)] = decoded(given[i] ?? '');
  return params;
}

function decoded(segment: string): string {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    // Not UTF-8: no model and no level is called that, whichever way it is read.
    return segment;
  }
}

export function nodeRoutes({ node, name, maxBodyBytes, metrics }: RouteOptions): Route[] {
  const current = ({ model: asked }: PathParams) => {
    if (node.current === undefined)
      throw new SppError('not-ready', 'No artifact is being served yet.', {
        hint: STARTING_HINT,
        retryAfterS: 1,
      });
    const { id } = node.current.model.manifest.model;
    if (asked !== id)
      throw new SppError('unknown-model', `There is no model ${quote(asked ?? '')} here.`, {
        hint: `This node serves ${id}.`,
      });
    return node.current;
  };
  /** Levels of two versions have nothing but their numbers in common. */
  const named = (serving: VersionInService, version: string | undefined): VersionInService => {
    const { manifest } = serving.model;
    if (version === undefined || version === manifest.model.version) return serving;
    const before = node.superseded.findLast(({ model }) => model.manifest.model.version === version);
    if (before !== undefined) return before;
    throw new SppError('not-ready', `Version ${JSON.stringify(version.slice(0, 64))} is not served here.`, {
      hint: `This node serves ${manifest.model.version}. Ask another node, or leave X-Artifact-Version out.`,
      retryAfterS: 1,
    });
  };
  const requireReady = (model?: ServedModel, level?: number) => {
    if (node.state === 'draining') throw draining();
    if (node.state !== 'ready')
      throw new SppError('not-ready', 'The node is starting.', { hint: STARTING_HINT, retryAfterS: 1 });
    if (model !== undefined && level !== undefined && !model.serves(level))
      throw new SppError('level-unavailable', `Level ${level} cannot be served at the moment.`, {
        hint: 'Ask for another level; the node tries this one again by itself.',
        retryAfterS: 5,
      });
  };
  const infer = (
    exchange: Exchange,
    params: PathParams,
    levelOf: (model: ServedModel) => number,
  ): Promise<Answer> => {
    if (node.state === 'draining') throw draining();
    const target = () => {
      const { model, inFlight } = named(current(params), exchange.header(headerNames.artifactVersion));
      return { model, inFlight, level: levelOf(model) };
    };
    return answerInfer(target, exchange, { maxBodyBytes, metrics });
  };
  const refused = (error: unknown, exchange: Exchange) => {
    const code =
      error === exchange.signal.reason ? 'client-gone' : error instanceof SppError ? error.code : 'internal';
    metrics.refused(
      code,
      (exchange.header(headerNames.latencyBudget) ?? exchange.header(headerNames.budgetRemaining)) !==
        undefined,
    );
  };
  const modelPath = '/v2/models/:model';
  const levelPath = `${modelPath}/versions/:level`;
  return [
    {
      method: 'GET',
      path: '/v2',
      handle: () =>
        jsonAnswer({
          name: `solution-path node ${name}`,
          version: '0.1.0',
          extensions: [binaryExtension],
        }),
    },
    { method: 'GET', path: '/v2/health/live', open: true, handle: () => jsonAnswer({ live: true }) },
    {
      method: 'GET',
      path: '/v2/health/ready',
      open: true,
      handle: () => {
        requireReady();
        return jsonAnswer({ ready: true });
      },
    },
    { method: 'GET', path: '/v2/report', handle: () => jsonAnswer(node.report()) },
    {
      method: 'GET',
      path: '/metrics',
      handle: async () => {
        const { text, contentType } = await metrics.expose();
        return { status: 200, headers: { 'content-type': contentType }, body: text };
      },
    },
    {
      method: 'GET',
      path: modelPath,
      handle: (_, params) => jsonAnswer(metadata(current(params).model)),
    },
    {
      method: 'GET',
      path: `${modelPath}/ready`,
      handle: (_, params) => {
        const { model } = current(params);
        requireReady();
        return jsonAnswer({ name: model.manifest.model.id, ready: true });
      },
    },
    {
      method: 'GET',
      path: levelPath,
      handle: (_, params) => {
        const { model } = current(params);
        const level = parseLevel(model, params.level);
        return jsonAnswer({ ...metadata(model), versions: [String(level)] });
      },
    },
    {
      method: 'GET',
      path: `${levelPath}/ready`,
      handle: (_, params) => {
        const { model } = current(params);
        const level = parseLevel(model, params.level);
        requireReady(model, level);
        return jsonAnswer({ name: model.manifest.model.id, version: String(level), ready: true });
      },
    },
    {
      method: 'POST',
      path: `${modelPath}/infer`,
      handle: (exchange, params) => infer(exchange, params, (model) => model.defaultLevel),
      refused,
    },
    {
      method: 'POST',
      path: `${levelPath}/infer`,
      handle: (exchange, params) => infer(exchange, params, (model) => parseLevel(model, params.level)),
      refused,
    },
  ];
}

function metadata(model: ServedModel): ModelMetadata {
  const { manifest } = model;
  return {
    name: manifest.model.id,
    versions: manifest.levels.map(({ level }) => String(level)),
    platform: 'onnxruntime_onnx',
    inputs: manifest.inputs,
    outputs: manifest.outputs,
    parameters: { artifact_version: manifest.model.version },
  };
}

function parseLevel(model: ServedModel, text: string | undefined): number {
  const level = /^(?:0|[1-9]\d{0,5})$/.test(text ?? '') ? Number(text) : -1;
  if (level < 0 || level > model.denseLevel)
    throw new SppError('unknown-level', `${model.manifest.model.id} has no level ${quote(text ?? '')}.`, {
      hint: `Its levels are 0 (sparsest) to ${model.denseLevel} (dense).`,
    });
  return level;
}

const STARTING_HINT = 'Try again once /v2/health/ready answers 200.';

function draining(): SppError {
  return new SppError('draining', 'The node is draining and takes no new requests.', {
    hint: 'Ask another node.',
    retryAfterS: 1,
  });
}
