/**
 * An engine is data-parallel over lanes: a batch is divided among them, and their sums are added in lane order, so the same number of
 * workers gives the same numbers.
 */
import { SppError } from '../../schema/errors.ts';
import { elementCount, type Graph } from '../graph/graph.ts';
import { type BackendName, isOnnxruntime } from './backend-names.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { inHalves, isOutOfMemory } from './halving.ts';
import type { Lane, Variant } from './lane.ts';
import { type Shard, splitBatch } from './shard.ts';
import { sharedFloats } from './shared-floats.ts';
import { checkedCount, startLanes } from './start-lanes.ts';
import { variantOf } from './step-variant.ts';
import { lossesOf, meanGradients } from './sums.ts';

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
  const { backend, lanes, passedOver } = await startLanes(options, weights);
  let microBatch = options.microBatch ?? MICRO_BATCH[backend];
  let recompute = options.recompute ?? false;
  const batched = graph.inputs.filter(({ dims }) => typeof dims[0] === 'string').map(({ name }) => name);
  const means = new Map([...weights].map(([name, { length }]) => [name, new Float32Array(length)]));

  const units = { pairs, nested, cuts: isOnnxruntime(backend) };
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
        const { losses, ...gradients } = await compute({ feeds, loss: target }, [variantOf(at, units)]);
        return { loss: losses[0] as number, ...gradients };
      }),
    stepAt: (batch, widths) =>
      inTurn(async () => {
        const variants = widths.map((each) => variantOf({ widths: each }, units));
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
