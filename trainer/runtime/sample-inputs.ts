/** Random inputs that a model will accept: free dimensions filled in, token ids within their tables. */
import {
  consumers,
  type Dtype,
  elementCount,
  type Graph,
  type Tensor,
  type ValueInfo,
} from '../graph/graph.ts';
import { type RandomSource, randomSource, streams } from '../search/random.ts';
import { type ImageInput, imageOf } from './image-inputs.ts';

/** What to put for the dimensions that the caller chooses. Axis 0 is the batch; all others are lengths. */
export interface FreeSizes {
  readonly batch: number;
  readonly length: number;
  /**
   * Inputs hold as many earlier positions as new ones, and integers that look nothing up (attention masks) cover both. Exporters
   * often do not say so: they give each such dimension a name of its own.
   */
  readonly cached?: boolean;
  /** Height and width of images that leave them open; as `length` where absent. */
  readonly side?: number;
  /** Their height alone. */
  readonly height?: number;
}

/** Operators behind which an index is still the same index. */
const CARRIES_INDEX = new Set([
  'Cast',
  'Identity',
  'Reshape',
  'Flatten',
  'Squeeze',
  'Unsqueeze',
  'Transpose',
]);

/** Which input of an operator holds indices into which other one, along its first axis if not Gather's own. */
const LOOKUPS: Readonly<Record<string, readonly (readonly [indices: number, table: number])[]>> = {
  Gather: [[1, 0]],
  EmbedLayerNormalization: [
    [0, 2],
    [1, 4],
    [8, 3],
  ],
};

/**
 * One tensor an input: floats from the standard normal, indices uniformly within the smallest table that they look up,
 * and ones for integers that look nothing up (attention masks).
 */
export function sampleInputs(graph: Graph, sizes: FreeSizes, seed: number): Record<string, Tensor> {
  const readers = consumers(graph);
  return Object.fromEntries(
    graph.inputs.map((input, i) => {
      const bound = tableSize(graph, readers, input);
      const covers = sizes.cached && bound === undefined && !input.dtype.startsWith('float');
      const own = covers ? { ...sizes, length: 2 * sizes.length } : sizes;
      const image = imageOf(graph, readers, input);
      const dims = input.dims.map((dim, axis) => freeSize(dim, axis, own, image));
      return [input.name, fill(input.dtype, dims, randomSource(seed, streams.samples, i), bound)];
    }),
  );
}

function freeSize(
  dim: number | string,
  axis: number,
  sizes: FreeSizes,
  image: ImageInput | undefined,
): number {
  if (typeof dim === 'number') return dim;
  if (axis === 0) return sizes.batch;
  if (image && axis === 1) return image.channels;
  if (image?.hasSides) return sizes.side ?? (axis === 2 ? sizes.height : undefined) ?? sizes.length;
  // Exporters name sums of lengths too: `past_sequence_length + 1`.
  return dim
    .split('+')
    .map((part) => part.trim())
    .reduce((sum, part) => sum + (/^\d+$/.test(part) ? Number(part) : sizes.length), 0);
}

/** Whether the model takes keys and values of earlier positions: [batch, heads, length, size]. */
export function takesCaches({ inputs }: Graph): boolean {
  return inputs.some(
    ({ dtype, dims }) =>
      dtype.startsWith('float') && dims.length > 3 && dims.slice(1).some((dim) => typeof dim === 'string'),
  );
}

/** Entries of the smallest table that each integer input is looked up in. */
export function tableSizes(graph: Graph): ReadonlyMap<string, number> {
  const readers = consumers(graph);
  return new Map(
    graph.inputs.flatMap((input) => {
      const size = input.dtype.startsWith('int') ? tableSize(graph, readers, input) : undefined;
      return size === undefined ? [] : [[input.name, size] as const];
    }),
  );
}

function tableSize(
  graph: Graph,
  readers: ReadonlyMap<string, readonly Graph['nodes'][number][]>,
  input: ValueInfo,
): number | undefined {
  let smallest: number | undefined;
  const queue = [input.name];
  for (const value of queue) {
    for (const node of readers.get(value) ?? []) {
      if (CARRIES_INDEX.has(node.opType) && node.inputs[0] === value) queue.push(...node.outputs);
      const axis = node.attributes.axis?.kind === 'int' ? node.attributes.axis.value : 0;
      for (const [indices, table] of LOOKUPS[node.opType] ?? []) {
        if (node.inputs[indices] !== value) continue;
        const size = graph.initializers.get(node.inputs[table] ?? '')?.dims.at(axis);
        if (size !== undefined) smallest = Math.min(size, smallest ?? size);
      }
    }
  }
  return smallest;
}

function fill(
  dtype: Dtype,
  dims: readonly number[],
  random: RandomSource,
  bound: number | undefined,
): Tensor {
  const count = elementCount(dims);
  const index = () => (bound === undefined ? 1 : random.below(bound));
  switch (dtype) {
    case 'float32':
      return { dtype, dims, data: Float32Array.from({ length: count }, () => normal(random)) };
    case 'float64':
      return { dtype, dims, data: Float64Array.from({ length: count }, () => normal(random)) };
    case 'int64':
      return { dtype, dims, data: BigInt64Array.from({ length: count }, () => BigInt(index())) };
    case 'int32':
      return { dtype, dims, data: Int32Array.from({ length: count }, index) };
    case 'uint8':
    case 'bool':
      return { dtype, dims, data: new Uint8Array(count).fill(1) };
  }
}

/** Box-Muller. */
function normal(random: RandomSource): number {
  return Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
}
