/** What one example's answer is worth, metric by metric: pure functions of tensors. */
import { SppError } from '../../schema/errors.ts';
import type { Quality } from '../../schema/manifest.ts';
import { elementCount, type Tensor } from '../graph/graph.ts';
import type { TaskName } from './task.ts';

/** One for each task, and one for answers that are neither scores nor compared by direction. */
export type ScorerName = TaskName | 'fidelity';

/** One block of examples. */
export interface Answered {
  /** [examples, ..., size]; for contrastive both towers' unit vectors, one behind the other. */
  readonly answer: Tensor;
  /** The dense model's, of the same shape. */
  readonly dense: Tensor;
  /** One a row of `answer`, or -1. */
  readonly labels: Int32Array;
}

/** One value an example. */
export type Scores = Readonly<Record<string, readonly number[]>>;

interface Scorer {
  /** Higher is better: what selectors compare levels by. */
  readonly metric: string;
  /** Whether an example's value is 0 or 1 where it has a single row; a mean of anything else is an average. */
  readonly counts: boolean;
  readonly needs: { readonly labels?: true; readonly dense?: true };
  score(block: Answered): Scores;
}

interface Metric {
  readonly unit: NonNullable<Quality['unit']>;
  readonly better: 'higher' | 'lower';
}

/** Every name that scorers give. */
export const metrics: Readonly<Record<string, Metric>> = {
  accuracy: { unit: 'share', better: 'higher' },
  'next-token-accuracy': { unit: 'share', better: 'higher' },
  'cross-entropy': { unit: 'nats', better: 'lower' },
  perplexity: { unit: 'perplexity', better: 'lower' },
  agreement: { unit: 'share', better: 'higher' },
  divergence: { unit: 'nats', better: 'lower' },
  cosine: { unit: 'cosine', better: 'higher' },
  retrieval: { unit: 'share', better: 'higher' },
  fidelity: { unit: 'share of variance', better: 'higher' },
};

/** Examples that a caption is to be found among. */
export const RETRIEVAL_GROUP = 32;

export const scorers = {
  classification: {
    metric: 'accuracy',
    counts: true,
    needs: { labels: true },
    score: ({ answer, labels }) => ({ accuracy: perExample(answer, hits(argmaxRows(answer), labels)) }),
  },
  'next-token': {
    metric: 'next-token-accuracy',
    counts: true,
    needs: { labels: true },
    score: ({ answer, labels }) => ({
      'next-token-accuracy': perExample(answer, hits(argmaxRows(answer), labels)),
      'cross-entropy': perExample(answer, surprisals(answer, labels)),
    }),
  },
  distil: {
    metric: 'agreement',
    counts: true,
    needs: { dense: true },
    score: ({ answer, dense }) => ({
      agreement: perExample(answer, hits(argmaxRows(answer), topOf(dense))),
      divergence: perExample(answer, divergences(dense, answer)),
    }),
  },
  embedding: {
    metric: 'cosine',
    counts: false,
    needs: { dense: true },
    score: ({ answer, dense }) => ({ cosine: perExample(answer, cosines(answer, dense)) }),
  },
  contrastive: {
    metric: 'retrieval',
    counts: true,
    needs: { dense: true },
    score: ({ answer, dense }) => ({
      retrieval: retrievals(answer, dense),
      cosine: perExample(answer, cosines(answer, dense)),
    }),
  },
  fidelity: {
    metric: 'fidelity',
    counts: false,
    needs: { dense: true },
    // The cosine of two numbers says whether their signs agree.
    score: ({ answer, dense }) => ({
      fidelity: perExample(answer, fidelities(answer, dense)),
      ...(answer.dims.at(-1) === 1 ? {} : { cosine: perExample(answer, cosines(answer, dense)) }),
    }),
  },
} as const satisfies Record<ScorerName, Scorer>;

/** Index of the largest entry of each row; a row with NaN is an error, not a guess. */
function argmaxRows(scores: Tensor): number[] {
  return rowsOf(scores).map((row, r) => {
    let best = 0;
    for (let c = 0; c < row.length; c++) {
      const value = row[c] as number;
      if (Number.isNaN(value))
        throw new SppError('numerical-failure', `Row ${r} of the model's output is not a number.`, {
          hint: 'Check the data and its normalisation; verify tells whether the dense level answers with numbers.',
        });
      if (value > (row[best] as number)) best = c;
    }
    return best;
  });
}

// Plain loops from here on: a vocabulary has tens of thousands of classes, and each position is a row.

/** log of the sum of exponentials, in float64. */
function logSumExp(row: Float32Array): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < row.length; c++) top = Math.max(top, row[c] as number);
  let sum = 0;
  for (let c = 0; c < row.length; c++) sum += Math.exp((row[c] as number) - top);
  return top + Math.log(sum);
}

/** KL(softmax(p) || softmax(q)) row by row, in nats and float64. */
export function divergences(p: Tensor, q: Tensor): number[] {
  const others = rowsOf(q);
  return rowsOf(p).map((row, r) => {
    const other = others[r] as Float32Array;
    const [ownSum, otherSum] = [logSumExp(row), logSumExp(other)];
    let total = 0;
    for (let c = 0; c < row.length; c++) {
      const log = (row[c] as number) - ownSum;
      total += Math.exp(log) * (log - ((other[c] as number) - otherSum));
    }
    return total;
  });
}

/**
 * How much rows of scores tell: the mean of KL(row || mean of all rows), in nats and float64. A classifier's that is sure of its classes, all
 * equally frequent, is the logarithm of their number; of scores that hardly differ it is near 0, whatever their order says.
 */
export function information(scores: Tensor, counts: (row: number) => boolean): number {
  const rows = rowsOf(scores).filter((_, row) => counts(row));
  const mean = new Float64Array(scores.dims.at(-1) ?? 1);
  let negentropy = 0;
  for (const row of rows) {
    const sum = logSumExp(row);
    for (let c = 0; c < row.length; c++) {
      const log = (row[c] as number) - sum;
      const chance = Math.exp(log);
      mean[c] = (mean[c] as number) + chance / rows.length;
      negentropy += (chance * log) / rows.length;
    }
  }
  return negentropy - mean.reduce((total, chance) => total + (chance > 0 ? chance * Math.log(chance) : 0), 0);
}

function rowsOf({ data, dims }: Tensor): Float32Array[] {
  const size = dims.at(-1) ?? 1;
  const values = data as Float32Array;
  return Array.from({ length: values.length / size }, (_, row) =>
    values.subarray(row * size, (row + 1) * size),
  );
}

function hits(predicted: readonly number[], labels: Int32Array): number[] {
  return predicted.map((label, row) =>
    labels[row] === -1 ? Number.NaN : Number(label === (labels[row] as number)),
  );
}

/** -log p(label), in nats; NaN where there is no label. */
function surprisals(answer: Tensor, labels: Int32Array): number[] {
  return rowsOf(answer).map((row, r) => {
    const label = labels[r] as number;
    return label === -1 ? Number.NaN : logSumExp(row) - (row[label] as number);
  });
}

function cosines(a: Tensor, b: Tensor): number[] {
  const others = rowsOf(b);
  const padded = paddingOf(b);
  return rowsOf(a).map((row, r) => {
    const other = others[r] as Float32Array;
    if (padded(r)) return Number.NaN;
    const scale = Math.sqrt(dot(row, row) * dot(other, other));
    return scale === 0 ? 0 : dot(row, other) / scale;
  });
}

/** Between row and row; of answers in units of the dense model's variance, a share of it. */
export function squaredDistances(a: Tensor, b: Tensor): number[] {
  const others = rowsOf(b);
  return rowsOf(a).map((row, r) => squaredDistance(row, others[r] as Float32Array));
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return sum;
}

/** NaN where the dense model's row is padding. */
function fidelities(answer: Tensor, dense: Tensor): number[] {
  const padded = paddingOf(dense);
  return squaredDistances(answer, dense).map((error, r) => (padded(r) ? Number.NaN : 1 - error));
}

/** Which rows are padding: those of padded tokens are made zero. Where an example is one row, zeros are its answer. */
export function paddingOf(dense: Tensor): (row: number) => boolean {
  if (dense.dims.length < 3) return () => false;
  const rows = rowsOf(dense);
  return (row) => rows[row]?.every((value) => value === 0) === true;
}

/** Largest score of each row, -1 for padding. */
function topOf(dense: Tensor): Int32Array {
  const padded = paddingOf(dense);
  return Int32Array.from(argmaxRows(dense), (top, r) => (padded(r) ? -1 : top));
}

/** Squared distance of unit vectors that the dense model makes of the same thing, but for rounding. */
const SAME = 1e-9;

/**
 * 1 where, among the examples of its group, the second tower's vector nearest to the first's is the example's own. Those that the dense model
 * does not tell from it, as equal captions, are no others; those that a level has made equal are.
 */
function retrievals(answer: Tensor, dense: Tensor): number[] {
  const size = (answer.dims.at(-1) ?? 2) / 2;
  const second = (row: Float32Array) => row.subarray(size);
  const [rows, captions] = [rowsOf(answer), rowsOf(dense).map(second)];
  return rows.map((row, r) => {
    const from = Math.floor(r / RETRIEVAL_GROUP) * RETRIEVAL_GROUP;
    const [first, caption] = [row.subarray(0, size), captions[r] as Float32Array];
    const own = dot(first, second(row));
    const isOther = (place: number) =>
      place !== r && squaredDistance(captions[place] as Float32Array, caption) > SAME;
    return Number(
      rows
        .slice(from, from + RETRIEVAL_GROUP)
        .every((other, i) => !isOther(from + i) || dot(first, second(other)) < own),
    );
  });
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** Mean over each example's rows, without those that do not count (NaN). */
function perExample({ dims }: Tensor, rows: readonly number[]): number[] {
  const each = elementCount(dims.slice(1, -1));
  return Array.from({ length: dims[0] ?? 0 }, (_, example) => {
    const own = rows.slice(example * each, (example + 1) * each).filter((value) => !Number.isNaN(value));
    return own.reduce((a, b) => a + b, 0) / own.length;
  });
}
