/** Data sets of whole arrays in memory, examples along the first axis. */
import { SppError } from '../../schema/errors.ts';
import { elementCount, type Tensor, type TensorData } from '../graph/graph.ts';
import { randomSource, shuffledRange, streams } from '../search/random.ts';
import type { Dataset, Field, Split, Targets, Tensors } from './dataset.ts';

export interface Columns {
  /** [examples, ...] by field name. */
  readonly arrays: Tensors;
  /** The same number for each example, one after the other. */
  readonly labels?: Int32Array;
}

const TEST_SHARE = 0.1;

/** Examples for training and for testing, a tenth, where the data says nothing: both in an order drawn by the seed. */
export function splitBySeed(count: number, seed: number): { train: number[]; test: number[] } {
  const order = shuffledRange(randomSource(seed, streams.split, 0), count);
  const test = Math.max(1, Math.round(count * TEST_SHARE));
  return { test: order.slice(0, test), train: order.slice(test) };
}

/** One array cut in two by the seed. */
export function splitColumns(columns: Columns, seed: number): { train: Split; test: Split } {
  const { train, test } = splitBySeed(countOf(columns), seed);
  return { train: arraySplit(columns, train), test: arraySplit(columns, test) };
}

/** @param order the examples that the split has, in its order; all of them where absent */
export function arraySplit(columns: Columns, order?: readonly number[]): Split {
  const { arrays, labels } = columns;
  const total = countOf(columns);
  const at = (indices: readonly number[]) => indices.map((index) => order?.[index] ?? index);
  const width = labels === undefined ? 0 : labels.length / total;
  return {
    count: order?.length ?? total,
    read: async (indices) =>
      Object.fromEntries(
        Object.entries(arrays).map(([name, array]) => [name, takeExamples(array, at(indices))]),
      ),
    ...(labels === undefined
      ? {}
      : {
          labels: (indices: readonly number[]) =>
            takeExamples({ dtype: 'int32', dims: [total, width], data: labels }, at(indices))
              .data as Int32Array,
        }),
  };
}

/** Fields as the arrays have them, without roles: fed by name. */
export function fieldsOf(arrays: Tensors): Field[] {
  return Object.entries(arrays).map(([name, { dtype, dims }]) => ({ name, dtype, shape: dims.slice(1) }));
}

/**
 * @param train arrays by input name
 * @param test of the same names and shapes; a tenth of `train`, drawn by the seed, where absent
 * @throws `bad-data` when arrays differ in number of examples, or the test arrays in shape
 */
export function arrayDataset(
  source: Pick<Dataset, 'name' | 'sha256'> & { readonly targets?: Targets },
  train: Columns,
  test: Columns | undefined,
  seed: number,
): Dataset {
  const fields = fieldsOf(train.arrays);
  for (const columns of [train, ...(test ? [test] : [])]) checkCounts(source.name, columns);
  if (test !== undefined && shapesOf(train) !== shapesOf(test)) {
    throw new SppError(
      'bad-data',
      `${source.name}: training arrays are ${shapesOf(train)}, but test arrays ${shapesOf(test)}.`,
    );
  }
  const splits =
    test === undefined ? splitColumns(train, seed) : { train: arraySplit(train), test: arraySplit(test) };
  return { ...source, fields, ...splits, recipe: test === undefined ? { splitSeed: seed } : {} };
}

function countOf({ arrays }: Columns): number {
  return Object.values(arrays)[0]?.dims[0] ?? 0;
}

function checkCounts(name: string, columns: Columns): void {
  const count = countOf(columns);
  const other = Object.entries(columns.arrays).find(([, { dims }]) => dims[0] !== count);
  if (other !== undefined || count === 0) {
    throw new SppError(
      'bad-data',
      count === 0
        ? `${name} holds no examples.`
        : `${name}: ${other?.[0]} has ${other?.[1].dims[0]} examples, but ${Object.keys(columns.arrays)[0]} has ${count}.`,
    );
  }
  if (columns.labels !== undefined && columns.labels.length % count !== 0) {
    throw new SppError(
      'bad-data',
      `${name}: there are ${columns.labels.length} labels for ${count} examples.`,
    );
  }
}

function shapesOf({ arrays }: Columns): string {
  return Object.entries(arrays)
    .map(([name, { dims }]) => `${name} [${dims.slice(1).join(', ')}]`)
    .toSorted()
    .join(', ');
}

/** Some examples of an array of any type, in the order asked for. */
export function takeExamples(array: Tensor, indices: readonly number[]): Tensor {
  const width = elementCount(array.dims.slice(1));
  const Data = array.data.constructor as new (length: number) => TensorData;
  const data = new Data(indices.length * width);
  for (const [i, index] of indices.entries()) {
    // Both sides have one and the same type, which TypeScript cannot know.
    data.set(array.data.subarray(index * width, (index + 1) * width) as never, i * width);
  }
  return { dtype: array.dtype, dims: [indices.length, ...array.dims.slice(1)], data };
}
