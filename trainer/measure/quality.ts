/** Quality of a model on a split, the way it will be served: by onnxruntime on its ONNX bytes. */
import { SppError } from '../../schema/errors.ts';
import type { Quality } from '../../schema/manifest.ts';
import type { BoundSplit } from '../data/bind-dataset.ts';
import { blocks } from '../data/dataset.ts';
import { elementCount, type Tensor } from '../graph/graph.ts';
import type { OrtModel } from '../runtime/ort-session.ts';
import { inOrder, type SessionPool } from '../runtime/session-pool.ts';
import { type Interval, meanInterval, wilsonInterval } from './interval.ts';
import { metrics, RETRIEVAL_GROUP, type ScorerName, type Scores, scorers } from './scores.ts';

export interface QualityRequest {
  /** What is measured: the scorer of a task, or `fidelity`. */
  readonly task: ScorerName;
  /** Of a graph that gives the task's answer. */
  readonly model: Uint8Array | OrtModel;
  readonly output: string;
  /** The dense model's answers to the split's examples; needed by tasks without labels. */
  readonly dense: { rows(places: readonly number[]): Promise<Tensor> };
  readonly split: BoundSplit;
  /** The first this many examples. */
  readonly samples: number;
  /** Examples computed at once. */
  readonly block: number;
  readonly sessions: SessionPool;
  readonly onProgress?: (done: number) => void;
}

/** Of examples; of text, each has as many as tokens. */
const LABELS_AT_ONCE = 256;

const unused: Tensor = { dtype: 'float32', dims: [0], data: new Float32Array(0) };

/**
 * The task's metrics over the first examples of a split, the selector's first.
 * @throws `bad-model` when the output has not a row for each label, `bad-data` for a label outside of it
 */
export async function measureQuality(request: QualityRequest): Promise<Quality> {
  const { split, output, task } = request;
  const { needs, score } = scorers[task];
  const samples = Math.min(request.samples, split.count);
  const session = await request.sessions.open(request.model);
  try {
    const all: Record<string, number[]> = {};
    let rowsEach = 1;
    // Groups of examples that are held against each other must not be cut.
    const size = Math.max(1, Math.floor(request.block / RETRIEVAL_GROUP)) * RETRIEVAL_GROUP;
    await inOrder(
      blocks(samples, task === 'contrastive' ? size : request.block),
      request.sessions.ahead,
      async (indices) => (await session.run(await split.feeds(indices), [output]))[output],
      async (answer, indices) => {
        if (answer === undefined || answer.dims[0] !== indices.length) throw misfit(output, answer);
        rowsEach = elementCount(answer.dims.slice(1, -1));
        const labels = 'labels' in needs ? labelsFor(split, indices, answer, output) : new Int32Array(0);
        const dense = 'dense' in needs ? await request.dense.rows(indices) : unused;
        append(all, score({ answer, labels, dense }));
        request.onProgress?.((indices.at(-1) ?? 0) + 1);
      },
    );
    return summary(task, all, rowsEach);
  } finally {
    await session.close();
  }
}

function labelsFor(
  split: BoundSplit,
  indices: readonly number[],
  answer: Tensor,
  output: string,
): Int32Array {
  const labels = split.labels?.(indices);
  if (labels?.length !== elementCount(answer.dims.slice(0, -1))) throw misfit(output, answer);
  assertClasses(labels, answer.dims.at(-1) ?? 1);
  return labels;
}

function assertClasses(labels: Int32Array, classes: number): void {
  const stray = labels.find((label) => label < -1 || label >= classes);
  if (stray === undefined) return;
  throw new SppError('bad-data', `The label ${stray} is outside the model's ${classes} classes.`, {
    hint: 'Check that the data set belongs to this model.',
  });
}

/**
 * What measuring would refuse of the labels, before what is to be measured is made.
 * @throws `bad-data` for a label that is none of the classes, or where no example has one that counts
 */
export function assertLabels(
  { task, split, samples }: Pick<QualityRequest, 'task' | 'split' | 'samples'>,
  classes: number,
): void {
  if (!('labels' in scorers[task].needs) || split.labels === undefined) return;
  let counts = false;
  for (const indices of blocks(Math.min(samples, split.count), LABELS_AT_ONCE)) {
    const labels = split.labels(indices);
    assertClasses(labels, classes);
    counts ||= labels.some((label) => label >= 0);
  }
  if (!counts) {
    throw new SppError('bad-data', 'None of the test examples has a label that counts.', {
      hint: 'Give labels for some of them, or --task distil, which needs none.',
    });
  }
}

function append(all: Record<string, number[]>, scores: Scores): void {
  for (const [metric, values] of Object.entries(scores)) {
    const known = all[metric] ?? [];
    for (const value of values) known.push(value);
    all[metric] = known;
  }
}

/** Shares of examples have Wilson intervals, all else those of means; examples of which nothing counts are left out. */
function summary(task: ScorerName, all: Record<string, number[]>, rowsEach: number): Quality {
  const { metric, counts } = scorers[task];
  const counted = (name: string) => (all[name] ?? []).filter((value) => !Number.isNaN(value));
  const main = counted(metric);
  const samples = main.length;
  if (samples === 0) throw new SppError('bad-data', 'No test example has anything to be measured by.');
  const correct = main.reduce((a, b) => a + b, 0);
  const value =
    counts && rowsEach === 1
      ? { value: correct / samples, ...wilsonInterval(correct, samples) }
      : meanInterval(main, rangeOf(metric));
  const others = Object.keys(all).filter((name) => name !== metric);
  const details = others.map(
    (name) => [name, { ...meanInterval(counted(name), rangeOf(name)), ...metrics[name] }] as const,
  );
  const surprise = details.find(([name]) => name === 'cross-entropy')?.[1];
  const everything = [...details, ...(surprise ? [perplexity(surprise)] : [])];
  const unit = metrics[metric]?.unit;
  return {
    metric,
    ...value,
    ...(unit === undefined ? {} : { unit }),
    samples,
    ...(everything.length === 0 ? {} : { details: Object.fromEntries(everything) }),
  };
}

/** What values of a metric lie between. */
function rangeOf(name: string): Interval {
  const unit = metrics[name]?.unit;
  const low = unit === 'cosine' ? -1 : unit === 'share of variance' ? Number.NEGATIVE_INFINITY : 0;
  return { low, high: unit === 'nats' || unit === 'perplexity' ? Number.POSITIVE_INFINITY : 1 };
}

function perplexity({ value, low, high }: Interval & { readonly value: number }) {
  // A few examples of a level that has lost everything may leave it without an end.
  const raise = (nats: number) => Math.min(Math.exp(nats), Number.MAX_VALUE);
  const raised = { value: raise(value), low: raise(low), high: raise(high) };
  return ['perplexity', { ...raised, ...metrics.perplexity }] as const;
}

function misfit(output: string, answer: Tensor | undefined): SppError {
  return new SppError(
    'bad-model',
    `The output ${output} has shape [${answer?.dims.join(', ')}]; one row of scores a label is wanted.`,
  );
}
