/**
 * Losses and mask gradients of a graph, data-parallel over worker threads. Each worker has its own backend or session and copy of the weights;
 * per step only its share of the batch and the masks travel, and sums come back, added in worker order:
 * the same number of workers gives the same numbers.
 */
import { availableParallelism } from 'node:os';
import { SppError } from '../../schema/errors.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { MaskedAxis } from '../graph/mask-site.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { type BackendName, chooseBackend, isNative, startBackend, type TfjsBackendName } from './backend.ts';
import { type Lane, startLanes } from './lane.ts';
import type { LossTarget } from './loss.ts';
import { createMaskProgram, type ShardSums } from './mask-program.ts';
import { startMaskThread } from './mask-thread.ts';
import { createOnnxruntimeLanes } from './onnxruntime-lanes.ts';
import { type Shard, splitBatch } from './shard.ts';

export interface MaskStep {
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** One per pair, [units]. */
  readonly masks: readonly Float32Array[];
  /**
   * `kl`: mean over rows of KL(softmax(teacher) || softmax(masked)), teacher = dense logits [B, ..., C];
   * `squared`: mean over rows of half the squared distance, teacher = dense answers [B, ..., C].
   * `cross-entropy`: labels [B], or one for each of the output's rows, -1 where a row does not count.
   */
  readonly loss: LossTarget;
}

export interface MaskGradients {
  /** Mean over the output's rows that count; NaN or infinite when the computation left the finite numbers: the caller decides. */
  readonly loss: number;
  /** One per pair, summed over that pair's sites, of the mean loss. */
  readonly gradients: readonly Float32Array[];
}

export interface MaskEngine {
  readonly backend: string;
  readonly workers: number;
  /** Steps run one after the other, in the order asked for. @throws `bad-shape` for feeds, masks or targets that do not fit; `internal` when a worker died */
  step(step: MaskStep): Promise<MaskGradients>;
  close(): Promise<void>;
}

/** What the engine needs to know of a pair. */
export interface MaskedPair {
  readonly name: string;
  readonly units: number;
  readonly maskSites: readonly MaskedAxis[];
}

export interface MaskEngineOptions {
  readonly graph: Graph;
  readonly pairs: readonly MaskedPair[];
  readonly backend: BackendName | 'auto';
  /** Threads for wasm, cpu and onnxruntime; default one per core, at most 8. Native backends thread by themselves and always run as one. */
  readonly workers?: number;
  /** Examples computed at once in a thread; default 32 on onnxruntime, 64 on wasm and cpu, 128 on native backends. Larger batches are added up: memory stays bounded and caches warm. */
  readonly microBatch?: number;
}

const MOST_WORKERS = 8;
const MICRO_BATCH = {
  wasm: 64,
  cpu: 64,
  'tfjs-node': 128,
  'tfjs-node-gpu': 128,
  onnxruntime: 32,
} as const satisfies Record<BackendName, number>;

/** @throws `backend-unavailable`, and what building the interpreter throws */
export async function createMaskEngine(options: MaskEngineOptions): Promise<MaskEngine> {
  const { graph, pairs } = options;
  const backend = chooseBackend(options.backend);
  const native = backend !== 'onnxruntime' && isNative(backend);
  const microBatch = options.microBatch ?? MICRO_BATCH[backend];
  const workers = native ? 1 : checkedWorkers(options.workers);
  const lanes = await (backend === 'onnxruntime'
    ? createOnnxruntimeLanes(graph, pairs, workers)
    : tfjsLanes(backend, graph, pairs, workers));
  const batched = graph.inputs.filter(({ dims }) => typeof dims[0] === 'string').map(({ name }) => name);
  const compute = async ({ feeds, masks, loss }: MaskStep): Promise<MaskGradients> => {
    checkMasks(masks, pairs);
    const used = batched.length > 0 ? batched : Object.keys(feeds);
    const shards = splitBatch({ feeds, loss }, lanes.length, used);
    // All lanes are waited for, even when one fails: a thread takes one question at a time.
    const outcomes = await Promise.allSettled(
      shards.map((shard, lane) =>
        (lanes[lane] as Lane).ask({ shards: microBatches(shard, microBatch, used), masks }),
      ),
    );
    const sums = outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
    return meanOf(sums.flat());
  };
  let last: Promise<unknown> = Promise.resolve();
  return {
    backend,
    workers: lanes.length,
    step(step) {
      const next = last.then(() => compute(step));
      // A failed step is its own caller's to handle; the one after it runs all the same.
      last = next.catch(() => undefined);
      return next;
    },
    async close() {
      await Promise.all(lanes.map((lane) => lane.close()));
    },
  };
}

function checkedWorkers(count = Math.min(MOST_WORKERS, availableParallelism())): number {
  if (Number.isInteger(count) && count >= 1) return count;
  throw new SppError('usage', `The number of workers must be a whole number from 1 on, not ${count}.`);
}

async function tfjsLanes(
  backend: TfjsBackendName,
  graph: Graph,
  pairs: readonly MaskedPair[],
  workers: number,
): Promise<Lane[]> {
  const sites = pairs.map((pair) => pair.maskSites);
  if (isNative(backend)) return [await inlineLane(backend, graph, sites)];
  const data = { backend, model: writeOnnx(graph), sites };
  return startLanes(workers, () => startMaskThread(data));
}

/** Native backends run in this thread: their bindings are not made for worker threads. */
async function inlineLane(
  backend: TfjsBackendName,
  graph: Graph,
  sites: readonly (readonly MaskedAxis[])[],
): Promise<Lane> {
  await startBackend(backend);
  const program = createMaskProgram(graph, sites);
  return {
    ask: async ({ shards, masks }) => shards.map((shard) => program.run(shard, masks)),
    close: async () => program.dispose(),
  };
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

/** Adds sums in order and divides by the rows. */
function meanOf(sums: readonly ShardSums[]): MaskGradients {
  const rows = sums.reduce((total, sum) => total + sum.rows, 0);
  const first = sums[0] as ShardSums;
  const gradients = first.gradients.map((gradient, pair) =>
    gradient.map((_, unit) => {
      const total = sums.reduce(
        (sum, { gradients: own }) => sum + ((own[pair] as Float32Array)[unit] as number),
        0,
      );
      return total / rows;
    }),
  );
  return { loss: sums.reduce((total, sum) => total + sum.loss, 0) / rows, gradients };
}
