/** Holds backpropagated mask gradients to central differences of the masked graph in onnxruntime. */
import * as tf from '@tensorflow/tfjs-core';
import type { Graph, Tensor } from '../graph/graph.ts';
import { createInterpreter } from '../graph/interpret.ts';
import { ortModel } from '../graph/ort-model.ts';
import { relativeError } from '../graph/relative-error.ts';
import { toDevice } from '../graph/value.ts';
import { maskableGraph } from '../pairs/mask-graph.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { type FreeSizes, sampleInputs } from '../runtime/sample-inputs.ts';
import { type RandomSource, randomSource, streams } from '../search/random.ts';

/** Pairs whose gradient is checked, spread over the graph. */
const GRADIENTS = 4;
/**
 * Steps of the differences. A large one crosses the kinks of piecewise linear activations, a small one drowns in rounding: which is
 * best, and of which order, depends on the model, so the closest of them counts. A wrong gradient is close to none.
 */
const STEPS = [0.02, 0.005, 0.002, 0.001, 0.0002, 0.00005] as const;
/** The step by which it is seen where the outputs move. */
const LOOK = 0.01;

/** By float output. */
type Outputs = ReadonlyMap<string, Float32Array>;

interface Probe {
  readonly pair: number;
  readonly direction: Float32Array;
}

/**
 * At random masks, along a random direction of one pair's mask at a time. The loss is a linear function of the float outputs: along the
 * moves that they make in these directions, so that its slope stands out from rounding however many outputs there are, and at random.
 */
export async function gradientError(
  model: TracedModel,
  size: FreeSizes,
): Promise<{ readonly checked: number; readonly maxRelativeError: number }> {
  const { graph, pairs } = model;
  const feeds = sampleInputs(graph, size, 57);
  const random = randomSource(57, streams.guard, 0);
  const masks = pairs.map(({ units }) => vector(units, random, 0.5, 1));
  const probes = spread(pairs.length, GRADIENTS).map(
    (pair): Probe => ({ pair, direction: vector(pairs[pair]?.units ?? 0, random, -1, 1) }),
  );
  const maskable = maskableGraph(graph, pairs);
  const session = await createOrtSession(ortModel(maskable.graph));
  const at = async ({ pair, direction }: Probe, step: number): Promise<Outputs> => {
    const moved = masks.with(
      pair,
      (masks[pair] ?? direction).map((value, i) => value + step * (direction[i] ?? 0)),
    );
    const found = await session.run({ ...feeds, ...maskable.feeds(moved) });
    return new Map(floatOutputs(graph).map((name) => [name, found[name]?.data as Float32Array]));
  };
  try {
    const weights = await lossWeights(probes, at);
    const gradients = backpropagated(model, feeds, masks, weights);
    const slopes: number[] = [];
    const expected: number[] = [];
    for (const probe of probes) {
      const gradient = gradients[probe.pair] ?? probe.direction;
      const slope = gradient.reduce((sum, value, i) => sum + value * (probe.direction[i] ?? 0), 0);
      const lossAt = async (step: number) => lossOf(await at(probe, step), weights);
      const differences: number[] = [];
      for (const step of STEPS) differences.push(...(await centralDifferences(lossAt, step)));
      slopes.push(slope);
      expected.push(differences.reduce((a, b) => (Math.abs(a - slope) <= Math.abs(b - slope) ? a : b)));
    }
    return { checked: probes.length, maxRelativeError: relativeError(slopes, expected).relative };
  } finally {
    await session.close();
  }
}

/** The outputs' moves, each of unit root mean square over all outputs, and random numbers. */
async function lossWeights(
  probes: readonly Probe[],
  at: (probe: Probe, step: number) => Promise<Outputs>,
): Promise<Outputs> {
  const weights = new Map<string, Float32Array>();
  for (const probe of probes) {
    const [ahead, behind] = [await at(probe, LOOK), await at(probe, -LOOK)];
    const moves = new Map(
      [...ahead].map(([name, to]) => [
        name,
        to.map((value, i) => finite(value - (behind.get(name)?.[i] ?? 0))),
      ]),
    );
    const all = [...moves.values()];
    const count = all.reduce((sum, { length }) => sum + length, 0);
    const squares = all.reduce((sum, move) => move.reduce((part, value) => part + value * value, sum), 0);
    const scale = squares === 0 ? 0 : 1 / Math.sqrt(squares / count);
    for (const [name, move] of moves) {
      const before =
        weights.get(name) ?? vector(move.length, randomSource(59, streams.guard, move.length), -1, 1);
      weights.set(
        name,
        before.map((value, i) => value + scale * (move[i] ?? 0)),
      );
    }
  }
  return weights;
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
  weights: Outputs,
): Float32Array[] {
  const outputs = floatOutputs(graph);
  const interpreter = createInterpreter(graph, { outputs, maskSites: pairs.map((pair) => pair.maskSites) });
  try {
    return tf.tidy(() => {
      const loss = (...inputs: tf.Tensor[]) =>
        interpreter
          .run(feeds, inputs as tf.Tensor1D[])
          .map((value, i) => {
            const device = toDevice(value);
            const counts = tf.tensor(Uint8Array.from(device.dataSync(), isFiniteBit), device.shape, 'bool');
            const by = weights.get(outputs[i] ?? '') ?? new Float32Array(device.size);
            const terms = tf.mul(device, tf.tensor(by, device.shape));
            return tf.sum(tf.where(counts, terms, tf.zerosLike(terms)));
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

function lossOf(found: Outputs, weights: Outputs): number {
  let loss = 0;
  for (const [name, data] of found) {
    const by = weights.get(name);
    for (const [i, value] of data.entries()) loss += finite(value) * (by?.[i] ?? 0);
  }
  return loss;
}

/** What a mask hides is minus infinity, a root of a negative number none: the loss is over the rest, else it would be no number itself. */
function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

const isFiniteBit = (value: number) => (Number.isFinite(value) ? 1 : 0);

function floatOutputs(graph: Graph): string[] {
  return graph.outputs.filter(({ dtype }) => dtype === 'float32').map(({ name }) => name);
}

function vector(length: number, random: RandomSource, low: number, high: number): Float32Array {
  return Float32Array.from({ length }, () => low + (high - low) * random.uniform());
}

/** At most `count` indices, evenly over 0..length-1, both ends among them. */
function spread(length: number, count: number): number[] {
  const last = Math.max(1, Math.min(count, length) - 1);
  return [...new Set(Array.from({ length: last + 1 }, (_, i) => Math.round((i * (length - 1)) / last)))];
}
