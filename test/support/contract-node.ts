/**
 * A node whose times, state and faults a test sets. It speaks the nodes' contract over a real socket and computes the
 * tiny model's answers by the reference's loops; only the times it claims are made up.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { problemDocument, SppError } from '../../schema/errors.ts';
import type { NodeReport } from '../../schema/node-report.ts';
import { inferRequestSchema } from '../../schema/protocol.ts';
import { safeJson } from '../../scripts/local/secrets.ts';
import { secrets } from './gateway.ts';
import type { Disposable } from './node-client.ts';
import { TINY, tinyReference } from './tiny-model.ts';

export interface ContractNode {
  readonly url: string;
  readonly name: string;
  /** Claimed execution time by level; a level without one is not served. */
  levelMs: readonly number[];
  version: string;
  /** That the gateway has to show. */
  secret: string;
  state: NodeReport['state'];
  /** Told in its report: another number is another process. */
  life: number;
  load: number;
  /** What it does with an inference request. */
  behaviour: 'answer' | 'hang' | 'stall' | 'drop' | 'half-answer' | 'decline' | 'crash' | 'refuse-token';
  /** Takes over what comes to it for inference, before a body was read. */
  takeOver: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  /** Headers and level of each inference request it got. */
  readonly seen: { readonly level: number; readonly headers: IncomingMessage['headers'] }[];
  /** Requests that were cut off before they were answered. */
  aborted: number;
  /** Stops listening and drops all connections, like a killed process; `restart` takes the same port again. */
  kill(): Promise<void>;
  restart(): Promise<void>;
}

export async function contractNode(scope: Disposable, name: string): Promise<ContractNode> {
  const server = createServer((request, response) => {
    void handle(node, request, response).catch(() => response.destroy());
  });
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const port = await listen(0);
  const node: ContractNode = {
    url: `http://127.0.0.1:${port}`,
    name,
    levelMs: [100, 1000, 5000],
    version: 'v1',
    secret: secrets.nodeToken,
    state: 'ready',
    life: 0,
    load: 0,
    behaviour: 'answer',
    takeOver: undefined,
    seen: [],
    aborted: 0,
    async kill() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
    restart: async () => void (await listen(port)),
  };
  scope.onDispose(() => node.kill());
  return node;
}

async function handle(node: ContractNode, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (node.takeOver !== undefined && request.method === 'POST') return node.takeOver(request, response);
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const json = (status: number, body: unknown, headers: Record<string, string> = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
  if (request.headers.authorization !== `Bearer ${node.secret}`) return json(401, { error: 'unauthorized' });
  if (request.url === '/v2/report') return json(200, report(node));
  const level = Number(/^\/v2\/models\/tiny\/versions\/(\d+)\/infer$/.exec(request.url ?? '')?.[1]);
  node.seen.push({ level, headers: request.headers });
  const behaviours: Record<ContractNode['behaviour'], () => void> = {
    answer: () => {
      try {
        answer(node, level, Buffer.concat(chunks), json);
      } catch (error) {
        if (!(error instanceof SppError)) throw error;
        json(error.status, problemDocument(error), { 'content-type': 'application/problem+json' });
      }
    },
    hang: () => void response.once('close', () => node.aborted++),
    stall: () => {
      response.once('close', () => node.aborted++);
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"model_name":');
    },
    drop: () => void response.destroy(),
    'half-answer': () => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"model_name":', () => response.destroy());
    },
    decline: () => json(503, { code: 'draining', error: 'The node is draining.' }, { 'retry-after': '2' }),
    crash: () => json(500, { error: 'a secret of the node' }),
    'refuse-token': () => json(401, { error: 'a secret of the node' }),
  };
  behaviours[node.behaviour]();
}

function answer(
  node: ContractNode,
  level: number,
  body: Buffer,
  json: (status: number, body: unknown, headers?: Record<string, string>) => void,
): void {
  const parsed = inferRequestSchema.safeParse(safeJson(body.toString()));
  if (!parsed.success) throw new SppError('bad-request', 'The body is not an inference request.');
  const [x = [], token = []] = parsed.data.inputs.map(({ data }) => data ?? []) as number[][];
  if (x.length !== 4 * token.length) throw new SppError('bad-shape', `x has ${x.length} elements`);
  if (
    [...x, ...token].some((element) => typeof element !== 'number') ||
    token.some((row) => !(row >= 0 && row < TINY.tokens))
  )
    throw new SppError('bad-datatype', 'An element is not one that the tiny model takes.');
  const rows = token.map((_, n) => x.slice(4 * n, 4 * n + 4));
  const { logits } = tinyReference(level, rows, token);
  json(
    200,
    {
      model_name: 'tiny',
      model_version: String(level),
      outputs: [{ name: 'logits', datatype: 'FP32', shape: [token.length, 3], data: logits.flat() }],
    },
    {
      'server-timing': `queue;dur=0, execute;dur=${node.levelMs[level]}`,
      'x-artifact-version': node.version,
    },
  );
}

function report(node: ContractNode): NodeReport {
  return {
    node: node.name,
    state: node.state,
    reportedAtMs: 0,
    startedAtMs: node.life,
    workers: 1,
    queueLength: node.load,
    inFlight: 0,
    models: [
      {
        model: 'tiny',
        artifactVersion: node.version,
        levels: node.levelMs.map((ms, level) => ({
          level,
          resident: true,
          profiles: [
            { device: 'cpu', threads: 1, batch: 1, samples: 100, p50Ms: ms, p95Ms: ms, p99Ms: ms },
            { device: 'cpu', threads: 1, batch: 1000, samples: 100, p50Ms: ms, p95Ms: ms, p99Ms: ms },
          ],
        })),
      },
    ],
  };
}
