/** The losses as nodes: sums over rows, with the gradient softmax - target in logits, answer - target in other answers. */
import type { ValueInfo } from '../graph/graph.ts';
import type { Builder } from './builder.ts';
import { int, mul, reshapeLike, scale } from './expressions.ts';

export type LossKind = 'kl' | 'squared' | 'cross-entropy';

export interface LossNodes {
  /** The further input that the loss is held against. */
  readonly target: ValueInfo;
  /** int64 [2]: how many rows and classes the logits have. */
  readonly shape: string;
  /** Sum over the rows that count, a scalar. */
  readonly sum: string;
  /** d sum / d logits, in the logits' shape. */
  readonly gradient: string;
}

type LossWriter = (build: Builder, logits: string, rows: string, target: string) => Omit<LossNodes, 'shape'>;

/**
 * `kl`: KL(softmax(target) || softmax(logits)), target = logits of a teacher [rows, C];
 * `squared`: half the squared distance, target = answers of a teacher [rows, C];
 * `cross-entropy`: -log softmax(logits)[target], target int64 [rows], -1 where a row does not count.
 * @param logits [..., C], a forward value
 */
export function addLoss(build: Builder, kind: LossKind, logits: string, target: string): LossNodes {
  const classes = build.dims(logits).at(-1);
  const rows =
    classes === undefined
      ? build.add('Flatten', [logits], { axis: int(-1) })
      : build.add('Reshape', [logits, build.integers([-1, classes])]); // [rows, C]
  return { ...writers[kind](build, logits, rows, target), shape: build.add('Shape', [rows]) };
}

const softmax = (b: Builder, x: string) => b.add('Softmax', [x], { axis: int(-1) });
const logSoftmax = (b: Builder, x: string) => b.add('LogSoftmax', [x], { axis: int(-1) });
const total = (b: Builder, x: string) => b.add('ReduceSum', [x], { keepdims: int(0) });

const teacherRows = (b: Builder, answer: string, target: string): ValueInfo => ({
  name: target,
  dtype: 'float32',
  dims: [`${target}_rows`, b.dims(answer).at(-1) ?? `${target}_classes`],
});

const writers: Readonly<Record<LossKind, LossWriter>> = {
  kl(b, logits, rows, target) {
    const probabilities = softmax(b, target);
    const gap = b.add('Sub', [logSoftmax(b, target), logSoftmax(b, rows)]);
    return {
      target: teacherRows(b, logits, target),
      sum: total(b, mul(b, probabilities, gap)),
      gradient: reshapeLike(b, b.add('Sub', [softmax(b, rows), probabilities]), logits),
    };
  },
  squared(b, answer, rows, target) {
    const gap = b.add('Sub', [rows, target]);
    return {
      target: teacherRows(b, answer, target),
      sum: scale(b, total(b, mul(b, gap, gap)), 0.5),
      gradient: reshapeLike(b, gap, answer),
    };
  },
  'cross-entropy'(b, logits, rows, target) {
    const zero = { dtype: 'int64', dims: [], data: BigInt64Array.of(0n) } as const;
    const classes = b.add('Shape', [rows], { start: int(1), end: int(2) });
    const values = b.constant({ dtype: 'float32', dims: [2], data: Float32Array.of(0, 1) });
    const ignored = b.add('Less', [target, b.constant(zero)]);
    // -1 would count from the end; a label beyond the classes is nowhere one.
    const chosen = b.add('OneHot', [b.add('Where', [ignored, classes, target]), classes, values], {
      axis: int(-1),
    });
    const counted = b.add('Unsqueeze', [
      b.add('Cast', [b.add('Not', [ignored])], { to: int(1) }),
      b.integers([1]),
    ]); // [rows, 1]
    return {
      target: { name: target, dtype: 'int64', dims: [`${target}_rows`] },
      sum: b.add('Neg', [total(b, mul(b, chosen, logSoftmax(b, rows)))]),
      gradient: reshapeLike(b, b.add('Sub', [mul(b, softmax(b, rows), counted), chosen]), logits),
    };
  },
};
