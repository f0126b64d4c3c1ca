/**
 * The contract of the two engines, `onnxruntime` and TensorFlow.js: a graph, what to differentiate in, and a loss; per step a batch
 * goes in, and the mean loss and its gradients come out. Data-parallel over lanes; sums are added in lane order, so the same number
 * of workers gives the same numbers.
 */

import { SppError } from '../../schema/errors.ts';
import { keepFullPrecision } from '../../schema/full-precision.ts';
import type { Nesting } from '../autodiff/nested-forward.ts';
import { elementCount, type Graph, type Tensor } from '../graph/graph.ts';
import type { MaskedAxis } from '../graph/mask-site.ts';
import { computeThreads } from '../runtime/compute.ts';
import { assertStarts } from '../runtime/provider-start.ts';
import { isNative } from './backend.ts';
import {
  type BackendChoice,
  type BackendName,
  candidateBackends,
  isOnnxruntime,
  keepsActivations,
  onnxruntimeProviders,
} from './backend-names.ts';
import { inHalves, isOutOfMemory } from './halving.ts';
import type { Lane, Variant } from './lane.ts';
import { MOST_WORKERS } from './lane-layout.ts';
import type { LossTarget } from './loss.ts';
import type { MemoryLimits } from './memory-limits.ts';
import { createOnnxruntimeLanes } from './onnxruntime-lanes.ts';
import { sayingWhoElse } from './other-engine.ts';
import { type Shard, splitBatch } from './shard.ts';
import { sharedFloats } from './shared-floats.ts';
import { lossesOf, meanGradients } from './sums.ts';
import { createTfjsLanes } from './tfjs-lanes.ts';

/** What the engine needs to know of a pair. */
export interface MaskedPair {
  readonly name: string;
  readonly units: number;
  readonly maskSites: readonly MaskedAxis[];
}

/** Pairs whose units stand in path order, structurally a prepared model's. */
export interface NestedPairs extends Nesting {
  readonly pairs: readonly (Nesting['pairs'][number] & MaskedPair)[];
}

export interface EngineOptions {
  readonly graph: Graph;
  /** `auto` and `tfjs`: the first that is installed, starts and has all the gradients; what was passed over is told. */
  readonly backend: BackendChoice;
  /** Masks are multiplied in at these pairs' sites; each step gives one a pair. None by default. */
  readonly pairs?: readonly MaskedPair[];
  /** Are the masks' gradients wanted? True by default. */
  readonly maskGradients?: boolean;
  /** Names of float32 initializers: their gradients are wanted, and their values may change between steps. None by default. */
  readonly weights?: readonly string[];
  /**
   * Each step says how many units of each pair to keep, the first so many in the graph's order. onnxruntime cuts the weights in the
   * graph, so a sparse level costs less; TensorFlow.js masks. Not together with `pairs`.
   */
  readonly nested?: NestedPairs;
  /** Threads for wasm, cpu and onnxruntime; default one per core, at most 8. Native backends thread by themselves and always run as one. */
  readonly workers?: number;
  /** onnxruntime on the cpu only: threads that an operator of a worker may use; 1 by default. */
  readonly workerThreads?: number;
  /** Examples computed at once in a thread; default 32 on onnxruntime, 64 on wasm and cpu, 128 on native backends. Larger batches are added up: memory stays bounded and caches warm. */
  readonly microBatch?: number | undefined;
  /** Told the new size when a step did not fit into memory and is tried with half as many examples at once. */
  readonly onHalved?: (microBatch: number) => void;
  /** onnxruntime only: compute activations between values of the residual stream twice instead of keeping them. False until a step does not fit into memory. */
  readonly recompute?: boolean;
  /** Told when a step did not fit into memory and is tried again with `recompute`. */
  readonly onRecompute?: () => void;
}

export interface EngineStep {
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** One per pair of `pairs`, [units]. */
  readonly masks?: readonly Float32Array[];
  /** Units kept, one per pair of `nested`: from 1 to all; all where absent. */
  readonly widths?: readonly number[];
  /**
   * `kl`: mean over rows of KL(softmax(teacher) || softmax(output)), teacher = logits [B, ..., C].
   * `squared`: mean over rows of half the squared distance, teacher = values [B, ..., C] of any value of the graph.
   * `cross-entropy`: labels [B], or one for each of the output's rows, -1 where a row does not count.
   */
  readonly loss: LossTarget;
}

export interface EngineGradients {
  /** Mean over the output's rows that count; NaN or infinite when the computation left the finite numbers: the caller decides. */
  readonly loss: number;
  /** One per pair, summed over that pair's sites, of the mean loss; none where they are not wanted. */
  readonly masks: readonly Float32Array[];
  /** By weight, in its whole shape, of the mean loss. The next step writes into the same arrays. */
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** What all widths of one batch give together. */
export interface EngineMean {
  /** As a step's, by widths. */
  readonly losses: readonly number[];
  /** As a step's, the mean over the widths. */
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** A backend that was tried before the one that runs, and why it does not. */
export interface PassedOver {
  readonly backend: BackendName;
  readonly reason: string;
}

export interface Engine {
  readonly backend: BackendName;
  /** In the order tried; empty where a backend was named. */
  readonly passedOver: readonly PassedOver[];
  readonly workers: number;
  /** The weights that are differentiated, by name, as the next step will see them: an optimiser writes here between steps. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** Steps run one after the other, in the order asked for. @throws `bad-shape` for feeds, masks, widths or targets that do not fit; `internal` when a worker died */
  step(step: EngineStep): Promise<EngineGradients>;
  /** Of a nested engine: one batch at several widths, handed out and added up once. @throws as `step` */
  stepAt(
    batch: Pick<EngineStep, 'feeds' | 'loss'>,
    widths: readonly (readonly number[])[],
  ): Promise<EngineMean>;
  /** What the next step computes at once. */
  limits(): MemoryLimits;
  /** Sets it, as when a step did not fit into memory. */
  limit(limits: MemoryLimits): void;
  close(): Promise<void>;
}

/** Examples computed at once in a thread where nothing else is asked for. */
export const MICRO_BATCH = {
  wasm: 64,
  cpu: 64,
  'tfjs-node': 128,
  'tfjs-node-gpu': 128,
  webgpu: 128,
  onnxruntime: 32,
  'onnxruntime-cuda': 128,
  'onnxruntime-webgpu': 128,
} as const satisfies Record<BackendName, number>;

/** @throws `usage` for counts that are none, `backend-unavailable`, `bad-model` for weights that are not there, and `unsupported-op` listing what has no gradient */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { graph, nested, pairs = [] } = options;
  if (nested && pairs.length > 0)
    throw new SppError('usage', 'An engine takes masks or widths, not both.', {
      hint: 'Give nested alone; its gradients are those of the weights.',
    });
  checkedCount('examples computed at once', options.microBatch ?? 1);
  checkedCount('threads of a worker', options.workerThreads ?? 1);
  const weights = weightMemory(graph, options.weights ?? []);
  const { backend, lanes, passedOver } = await firstThatWorks(options, weights);
  let microBatch = options.microBatch ?? MICRO_BATCH[backend];
  let recompute = options.recompute ?? false;
  const batched = graph.inputs.filter(({ dims }) => typeof dims[0] === 'string').map(({ name }) => name);
  const means = new Map([...weights].map(([name, { length }]) => [name, new Float32Array(length)]));

  const variantOf = ({ masks: given = [], widths: asked }: Pick<EngineStep, 'masks' | 'widths'>): Variant => {
    const widths = checkedWidths(asked, nested);
    const masked = nested && !isOnnxruntime(backend) ? nested : undefined;
    const masks = masked ? prefixMasks(widths, masked) : given;
    checkMasks(masks, masked?.pairs ?? pairs);
    return { masks, widths };
  };
  const compute = async ({ feeds, loss }: Shard, variants: readonly Variant[]) => {
    const used = batched.length > 0 ? batched : Object.keys(feeds);
    const shards = splitBatch({ feeds, loss }, lanes.length, used);
    const attempt = async (size: number) => {
      // All lanes are waited for, even when one fails: a thread takes one question at a time.
      const outcomes = await Promise.allSettled(
        shards.map((shard, lane) =>
          (lanes[lane] as Lane).ask({
            shards: microBatches(shard, size, used),
            variants,
            recompute,
          }),
        ),
      );
      return outcomes.map((outcome) => {
        if (outcome.status === 'rejected') throw outcome.reason;
        return outcome.value;
      });
    };
    const attemptWithLess = (size: number) =>
      attempt(size).catch((error: unknown) => {
        if (recompute || !isOnnxruntime(backend) || !isOutOfMemory(error)) throw error;
        recompute = true;
        options.onRecompute?.();
        return attempt(size);
      });
    const largest = Math.ceil((feeds[used[0] ?? '']?.dims[0] ?? 1) / shards.length);
    const { result: sums, size } = await inHalves(
      Math.min(microBatch, largest),
      attemptWithLess,
      options.onHalved ?? (() => {}),
    );
    if (size < Math.min(microBatch, largest)) microBatch = size;
    const asked = lanes.slice(0, shards.length).map((lane) => lane.weightGradients);
    return {
      losses: lossesOf(sums, variants.length),
      masks: meanGradients(sums, asked, means),
      weights: means,
    };
  };
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <Result>(act: () => Promise<Result>): Promise<Result> => {
    const next = last.then(act);
    // A failed step is its own caller's to handle; the one after it runs all the same.
    last = next.catch(() => undefined);
    return next;
  };
  return {
    backend,
    passedOver,
    workers: lanes.length,
    weights,
    step: ({ feeds, loss: target, ...at }) =>
      inTurn(async () => {
        const { losses, ...gradients } = await compute({ feeds, loss: target }, [variantOf(at)]);
        return { loss: losses[0] as number, ...gradients };
      }),
    stepAt: (batch, widths) =>
      inTurn(async () => {
        const variants = widths.map((each) => variantOf({ widths: each }));
        const { losses, weights: mean } = await compute(batch, variants);
        return { losses, weights: mean };
      }),
    limits: () => ({ microBatch, recompute }),
    limit(limits) {
      microBatch = limits.microBatch ?? microBatch;
      recompute = limits.recompute;
    },
    async close() {
      await Promise.all(lanes.map((lane) => lane.close()));
    },
  };
}

/** Reasons for which another backend may do what this one cannot. */
const ANOTHER_MAY = ['unsupported-op', 'backend-unavailable'];

/** @throws what the last one throws, with the others' reasons in its hint */
async function firstThatWorks(
  options: EngineOptions,
  weights: ReadonlyMap<string, Float32Array>,
): Promise<{ backend: BackendName; lanes: Lane[]; passedOver: PassedOver[] }> {
  const passedOver: PassedOver[] = [];
  const candidates = candidateBackends(options.backend);
  for (const [i, backend] of candidates.entries()) {
    try {
      return { backend, lanes: await createLanes(backend, options, weights), passedOver };
    } catch (error) {
      const code = error instanceof SppError ? error.code : '';
      if (i === candidates.length - 1 || !ANOTHER_MAY.includes(code)) throw error;
      passedOver.push({ backend, reason: (error as SppError).message });
    }
  }
  throw new SppError('backend-unavailable', 'No backend is installed.', { hint: 'Run `npm ci`.' });
}

async function createLanes(
  backend: BackendName,
  options: EngineOptions,
  weights: ReadonlyMap<string, Float32Array>,
): Promise<Lane[]> {
  const { graph, pairs = [], nested, maskGradients = true } = options;
  if (isOnnxruntime(backend)) {
    const provider = onnxruntimeProviders[backend];
    if (provider === 'cuda') {
      keepFullPrecision();
      // Lanes start with the first step: too late to go on with another backend.
      await assertStarts(provider);
    }
    // A GPU's work comes from one queue.
    const workers = provider === 'cpu' ? checkedWorkers(options.workers) : 1;
    return createOnnxruntimeLanes({
      graph,
      pairs,
      maskGradients,
      weights,
      nesting: nested,
      provider,
      workers,
      threads: options.workerThreads ?? 1,
      recompute: options.recompute ?? false,
    }).catch((failure: unknown) => {
      throw sayingWhoElse(failure, graph);
    });
  }
  if (options.recompute) throw keepsActivations(backend);
  return createTfjsLanes({
    backend,
    graph,
    program: {
      sites: (nested?.pairs ?? pairs).map(({ maskSites }) => maskSites),
      maskGradients: maskGradients && nested === undefined,
      weights: [...weights.keys()],
    },
    weights: [...weights.values()],
    workers: isNative(backend) ? 1 : checkedWorkers(options.workers),
  });
}

function checkedWorkers(count = Math.min(MOST_WORKERS, computeThreads())): number {
  return checkedCount('workers', count);
}

function checkedCount(what: string, count: number): number {
  if (Number.isInteger(count) && count >= 1) return count;
  throw new SppError('usage', `The number of ${what} must be a whole number from 1 on, not ${count}.`);
}

/** The weights' values in shared memory. @throws `bad-model` for names that are no float32 initializers */
function weightMemory(graph: Graph, names: readonly string[]): Map<string, Float32Array> {
  const tensors = names.map((name) => {
    const tensor = graph.initializers.get(name);
    if (tensor?.dtype === 'float32') return tensor;
    throw new SppError('bad-model', `The graph has no float32 weight ${name} to differentiate.`);
  });
  const arrays = sharedFloats(tensors.map(({ dims }) => elementCount(dims)));
  return new Map(
    names.map((name, i) => {
      const array = arrays[i] as Float32Array;
      array.set(tensors[i]?.data as Float32Array);
      return [name, array];
    }),
  );
}

function microBatches(shard: Shard, size: number, batched: readonly string[]): Shard[] {
  const batch = shard.feeds[batched[0] ?? '']?.dims[0] ?? 1;
  return splitBatch(shard, Math.ceil(batch / size), batched);
}

function checkMasks(masks: readonly Float32Array[], pairs: readonly MaskedPair[]): void {
  const wrong = pairs.find((pair, index) => masks[index]?.length !== pair.units);
  if (wrong || masks.length !== pairs.length)
    throw new SppError(
      'bad-shape',
      `There must be one mask per pair, as long as its units${wrong ? `: ${wrong.name} has ${wrong.units}` : ''}.`,
    );
}

function checkedWidths(
  widths: readonly number[] | undefined,
  nested: NestedPairs | undefined,
): readonly number[] {
  const pairs = nested?.pairs ?? [];
  const given = widths ?? pairs.map(({ units }) => units);
  const fits = (width: number | undefined, units: number) =>
    width !== undefined && Number.isInteger(width) && width >= 1 && width <= units;
  const wrong = pairs.find(({ units }, pair) => !fits(given[pair], units));
  if (given.length === pairs.length && wrong === undefined) return given;
  throw new SppError(
    'bad-shape',
    `There must be one width per nested pair, from 1 to its units${wrong ? `: ${wrong.name} has ${wrong.units}` : ''}.`,
  );
}

/** Masks that leave the first so many units of each pair. */
export function prefixMasks(
  widths: readonly number[],
  { pairs }: { readonly pairs: readonly Pick<MaskedPair, 'units'>[] },
): Float32Array[] {
  return pairs.map(({ units }, pair) =>
    Float32Array.from({ length: units }, (_, unit) => (unit < (widths[pair] ?? units) ? 1 : 0)),
  );
}
