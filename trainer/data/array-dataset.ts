/** Data sets of whole arrays, examples along the first axis. */
import { SppError } from '../../schema/errors.ts';
import { type Dtype, elementCount, type Tensor } from '../graph/graph.ts';
import { randomSource, shuffledRange, streams } from '../search/random.ts';
import type { BadRecords } from './bad-records.ts';
import type { Dataset, Field, Split, Targets } from './dataset.ts';

/** An array that need not be in memory. */
export interface ArraySource {
  readonly dtype: Dtype;
  /** [examples, ...] */
  readonly dims: readonly number[];
  /** [indices.length, ...], in the order asked for. */
  take(indices: readonly number[]): Tensor;
}

export interface Columns {
  /** By field name. */
  readonly arrays: Readonly<Record<string, ArraySource>>;
  /** The same number for each example, one after the other. */
  readonly labels?: Int32Array;
}

const TEST_SHARE = 0.1;
/** Values looked at at once. */
const SCANNED = 2 ** 20;

/** Examples for training and for testing, a tenth, where the data says nothing: both in an order drawn by the seed. */
export function splitBySeed(
  examples: number | readonly number[],
  seed: number,
): { train: number[]; test: number[] } {
  const places = typeof examples === 'number' ? undefined : examples;
  const count = typeof examples === 'number' ? examples : examples.length;
  const order = shuffledRange(randomSource(seed, streams.split, 0), count).map((i) => places?.[i] ?? i);
  const test = Math.max(1, Math.round(count * TEST_SHARE));
  return { test: order.slice(0, test), train: order.slice(test) };
}

/** @param order the examples that the split has, in its order */
function arraySplit({ arrays, labels }: Columns, order: readonly number[]): Split {
  const at = (indices: readonly number[]) => indices.map((index) => order[index] as number);
  const width = labels === undefined ? 0 : labels.length / countOf({ arrays });
  return {
    count: order.length,
    read: async (indices) =>
      Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, array.take(at(indices))])),
    ...(labels === undefined
      ? {}
      : {
          labels: (indices: readonly number[]) => {
            const taken = new Int32Array(indices.length * width);
            for (const [row, index] of at(indices).entries())
              taken.set(labels.subarray(index * width, (index + 1) * width), row * width);
            return taken;
          },
        }),
  };
}

/** Fields as the arrays have them, without roles: fed by name. */
function fieldsOf({ arrays }: Columns): Field[] {
  return Object.entries(arrays).map(([name, { dtype, dims }]) => ({ name, dtype, shape: dims.slice(1) }));
}

/**
 * Examples with a value that is not finite are bad records, and left out.
 * @param train arrays by input name
 * @param test of the same names and shapes; a tenth of `train`, drawn by the seed, where absent
 * @throws `bad-data` when arrays differ in number of examples, or the test arrays in shape
 */
export function arrayDataset(
  source: Pick<Dataset, 'name' | 'sha256'> & { readonly targets?: Targets },
  train: Columns,
  test: Columns | undefined,
  seed: number,
  bad: BadRecords,
): Dataset {
  const { name } = source;
  for (const columns of [train, ...(test ? [test] : [])]) checkCounts(name, columns);
  if (test !== undefined && shapesOf(train) !== shapesOf(test)) {
    throw new SppError(
      'bad-data',
      `${name}: training arrays are ${shapesOf(train)}, but test arrays ${shapesOf(test)}.`,
    );
  }
  const usable = finiteExamples(name, train, bad);
  const order = test === undefined ? splitBySeed(usable, seed) : undefined;
  return {
    ...source,
    fields: fieldsOf(train),
    train: arraySplit(train, order?.train ?? usable),
    test:
      test === undefined
        ? arraySplit(train, order?.test ?? [])
        : arraySplit(test, finiteExamples(name, test, bad)),
    recipe: test === undefined ? { splitSeed: seed } : {},
  };
}

export function countOf({ arrays }: Pick<Columns, 'arrays'>): number {
  return Object.values(arrays)[0]?.dims[0] ?? 0;
}

function finiteExamples(source: string, columns: Columns, bad: BadRecords): number[] {
  const total = countOf(columns);
  const lost = new Set<number>();
  for (const [name, array] of Object.entries(columns.arrays)) {
    if (array.dtype !== 'float32' && array.dtype !== 'float64') continue;
    const width = Math.max(1, elementCount(array.dims.slice(1)));
    const step = Math.max(1, Math.floor(SCANNED / width));
    for (let from = 0; from < total; from += step) {
      const indices = Array.from({ length: Math.min(step, total - from) }, (_, i) => from + i);
      const { data } = array.take(indices);
      for (let i = 0; i < data.length; i++) {
        const example = from + Math.floor(i / width);
        if (Number.isFinite(Number(data[i])) || lost.has(example)) continue;
        lost.add(example);
        bad.add(`${source}: ${name}[${example}]`, `holds ${data[i]}`);
      }
    }
  }
  return Array.from({ length: total }, (_, i) => i).filter((example) => !lost.has(example));
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
