/** "Will my model work?": holds the interpreter, the cutting and the mask gradients to onnxruntime, on random inputs. */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { createInterpreter } from '../graph/interpret.ts';
import { ortModel } from '../graph/ort-model.ts';
import { relativeError } from '../graph/relative-error.ts';
import { isHost, toDevice, type Value } from '../graph/value.ts';
import { cuttingError, randomKeep } from '../pairs/guard.ts';
import { maskableGraph } from '../pairs/mask-graph.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { type FreeSizes, sampleInputs } from '../runtime/sample-inputs.ts';
import { type RandomSource, randomSource, streams } from '../search/random.ts';

/** Largest relative errors that pass. Gradients are held to differences of float32 losses, which carry noise themselves. */
export const tolerances = { parity: 1e-4, cutting: 1e-4, gradient: 1e-2 } as const;

export interface ModelCheck {
  readonly parity: { readonly maxRelativeError: number };
  readonly cutting: { readonly patterns: number; readonly maxRelativeError: number };
  readonly gradient: { readonly checked: number; readonly maxRelativeError: number };
}

const PATTERNS = 5;
/** Pairs whose gradient is checked, spread over the graph. */
const GRADIENTS = 4;

/**
 * @param original the graph of the file
 * @param model the same, prepared; a tfjs backend must have been started
 */
export async function checkModel(original: Graph, model: TracedModel): Promise<ModelCheck> {
  const [first, second] = model.sizes;
  const sizes = [first, second].filter((size) => size !== undefined);
  let parity = 0;
  for (const [seed, size] of sizes.entries())
    parity = Math.max(parity, await parityError(original, model.graph, size, seed));
  let cutting = 0;
  for (let step = 0; step < PATTERNS; step++) {
    const size = sizes[step % sizes.length] as FreeSizes;
    cutting = Math.max(cutting, await cuttingError(model, randomKeep(model.pairs, 31, step), size, step));
  }
  return {
    parity: { maxRelativeError: parity },
    cutting: { patterns: PATTERNS, maxRelativeError: cutting },
    gradient: await gradientError(model, sizes[0] as FreeSizes),
  };
}

export function passes({ parity, cutting, gradient }: ModelCheck): boolean {
  return (
    parity.maxRelativeError <= tolerances.parity &&
    cutting.maxRelativeError <= tolerances.cutting &&
    gradient.maxRelativeError <= tolerances.gradient
  );
}

/** By onnxruntime, with one example where the file takes no more: its RotaryEmbedding refuses tables that stand for all examples. */
async function referenceRun(original: Graph, size: FreeSizes, seed: number) {
  const session = await createOrtSession(ortModel(original));
  const run = async (at: FreeSizes) => {
    const feeds = sampleInputs(original, at, seed);
    return { feeds, expected: await session.run(feeds) };
  };
  try {
    return await run(size).catch(() => run({ ...size, batch: 1 }));
  } finally {
    await session.close();
  }
}

/** The file's graph in onnxruntime against the prepared one in the interpreter. */
async function parityError(original: Graph, graph: Graph, size: FreeSizes, seed: number): Promise<number> {
  const { feeds, expected } = await referenceRun(original, size, 101 + seed);
  refuseNonsense(expected);
  const interpreter = createInterpreter(graph);
  try {
    return tf.tidy(() => {
      const found = interpreter.run(feeds);
      const errors = graph.outputs.map(({ name }, i) => {
        const value = found[i];
        const reference = expected[name];
        return value && reference ? relativeError(read(value), reference.data).relative : Infinity;
      });
      return Math.max(...errors);
    });
  } finally {
    interpreter.dispose();
  }
}

/** Not a number agrees with not a number, whatever is computed: such answers would pass every comparison. */
function refuseNonsense(answers: Readonly<Record<string, Tensor>>): void {
  const broken = Object.entries(answers).find(
    ([, { data }]) => data.length > 0 && data.every((value: number | bigint) => Number.isNaN(Number(value))),
  );
  if (broken === undefined) return;
  throw new SppError('numerical-failure', `onnxruntime gives no number at all in the output ${broken[0]}.`, {
    hint: 'Check the weights of the model: some may be NaN, or far too large.',
  });
}

/**
 * Steps of the differences. A large one crosses the kinks of piecewise linear activations, a small one drowns in rounding: which is
 * best, and of which order, depends on the model, so the closest of them counts. A wrong gradient is close to none.
 */
const STEPS = [0.02, 0.005, 0.002, 0.001, 0.0002, 0.00005] as const;

/**
 * Of a random linear function of the float outputs, at random masks, along a random direction of one pair's mask at a time:
 * backpropagated, against central differences of the masked graph in onnxruntime.
 */
async function gradientError(model: TracedModel, size: FreeSizes): Promise<ModelCheck['gradient']> {
  const { graph, pairs } = model;
  const feeds = sampleInputs(graph, size, 57);
  const random = randomSource(57, streams.guard, 0);
  const masks = pairs.map(({ units }) => vector(units, random, 0.5, 1));
  const gradients = backpropagated(model, feeds, masks);
  const checked = spread(pairs.length, GRADIENTS);
  const found: number[] = [];
  const expected: number[] = [];
  const maskable = maskableGraph(graph, pairs);
  const session = await createOrtSession(ortModel(maskable.graph));
  try {
    const lossAt = async (at: readonly Float32Array[]) =>
      lossOf(graph, await session.run({ ...feeds, ...maskable.feeds(at) }));
    for (const p of checked) {
      const direction = vector(pairs[p]?.units ?? 0, random, -1, 1);
      const along = (step: number) =>
        lossAt(
          masks.with(
            p,
            (masks[p] ?? direction).map((value, i) => value + step * (direction[i] ?? 0)),
          ),
        );
      const slope = (gradients[p] ?? direction).reduce(
        (sum, value, i) => sum + value * (direction[i] ?? 0),
        0,
      );
      const differences: number[] = [];
      for (const step of STEPS) differences.push(...(await centralDifferences(along, step)));
      found.push(slope);
      expected.push(differences.reduce((a, b) => (Math.abs(a - slope) <= Math.abs(b - slope) ? a : b)));
    }
  } finally {
    await session.close();
  }
  return { checked: checked.length, maxRelativeError: relativeError(found, expected).relative };
}

/** f'(0) from what is h and 2h away: of second order in either, and of fourth order in both. */
async function centralDifferences(f: (x: number) => Promise<number>, h: number): Promise<number[]> {
  const near = ((await f(h)) - (await f(-h))) / (2 * h);
  const far = ((await f(2 * h)) - (await f(-2 * h))) / (4 * h);
  return [near, far, (4 * near - far) / 3];
}

function backpropagated(
  { graph, pairs }: TracedModel,
  feeds: Readonly<Record<string, Tensor>>,
  masks: readonly Float32Array[],
): Float32Array[] {
  const outputs = floatOutputs(graph);
  const interpreter = createInterpreter(graph, { outputs, maskSites: pairs.map((pair) => pair.maskSites) });
  try {
    return tf.tidy(() => {
      const loss = (...inputs: tf.Tensor[]) =>
        interpreter
          .run(feeds, inputs as tf.Tensor1D[])
          .map((value) => {
            const device = toDevice(value);
            return tf.sum(tf.mul(device, tf.tensor(weights(device.size), device.shape)));
          })
          .reduce((sum, part) => tf.add(sum, part)) as tf.Scalar;
      return tf
        .grads(loss)(masks.map((mask) => tf.tensor1d(mask)))
        .map((gradient) => Float32Array.from(gradient.dataSync()));
    });
  } finally {
    interpreter.dispose();
  }
}

function lossOf(graph: Graph, found: Readonly<Record<string, Tensor>>): number {
  let loss = 0;
  for (const name of floatOutputs(graph)) {
    const data = (found[name]?.data ?? []) as Float32Array;
    const by = weights(data.length);
    for (const [i, value] of data.entries()) loss += value * (by[i] ?? 0);
  }
  return loss;
}

function floatOutputs(graph: Graph): string[] {
  return graph.outputs.filter(({ dtype }) => dtype === 'float32').map(({ name }) => name);
}

/** Fixed weights of a random linear function. */
function weights(length: number): Float32Array {
  return vector(length, randomSource(59, streams.guard, length), -1, 1);
}

function vector(length: number, random: RandomSource, low: number, high: number): Float32Array {
  return Float32Array.from({ length }, () => low + (high - low) * random.uniform());
}

/** At most `count` indices, evenly over 0..length-1, both ends among them. */
function spread(length: number, count: number): number[] {
  const last = Math.max(1, Math.min(count, length) - 1);
  return [...new Set(Array.from({ length: last + 1 }, (_, i) => Math.round((i * (length - 1)) / last)))];
}

function read(value: Value): ArrayLike<number | bigint> {
  return isHost(value) ? value.data : value.dataSync();
}
