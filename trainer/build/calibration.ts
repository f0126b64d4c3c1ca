/** The pool of examples that calibration and search draw from, and the moments of a model's activations on it. */
import { SppError } from '../../schema/errors.ts';
import type { BoundDataset } from '../data/bind-dataset.ts';
import { blocks } from '../data/dataset.ts';
import { elementCount, type Graph } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { inOrder, type SessionPool } from '../runtime/session-pool.ts';
import { randomSource, shuffledRange, streams } from '../search/random.ts';
import { type Moments, MomentsAccumulator, momentsGraph } from '../statistics/activation-moments.ts';
import type { AnswerPlan } from './answer.ts';
import { blockSize, KEPT_ELEMENTS } from './answers.ts';
import { probeRows } from './probe-rows.ts';
import type { StageProgress } from './progress.ts';

/** Rows (tokens, patches) whose moments are taken, for each entry of the widest activation. */
const ROWS_AN_ENTRY = 64;
export const MOST_HOLDOUT = 512;
/** Below this there is nothing to hold out, and no statistic means anything. */
const LEAST_EXAMPLES = 16;
/** Of texts, tokens that are held out and that search draws from: fewer long examples say as much. */
const HOLDOUT_TOKENS = 2 ** 14;
const POOL_TOKENS = 2 ** 17;
const LEAST_USED = 8;

export interface Pool {
  readonly data: BoundDataset;
  readonly task: AnswerPlan;
  /** Name of the answer in answer graphs. */
  readonly output: string;
  /** Shape of one example's answer. */
  readonly answer: readonly number[];
  /** Examples computed at once. */
  readonly block: number;
  /** Training examples that search and statistics use. */
  readonly indices: readonly number[];
  /** Training examples that no statistic has seen; compensation is judged on them. */
  readonly holdout: readonly number[];
  /** All training examples but those held out, `indices` first: what recovery draws from. */
  readonly all: readonly number[];
}

/** @throws `bad-data` when there are too few training examples to hold some out */
export function drawPool(
  data: BoundDataset,
  answer: Pick<Pool, 'task' | 'output' | 'answer'>,
  size: number,
  seed: number,
): Pool {
  const { count } = data.train;
  if (count < LEAST_EXAMPLES) {
    throw new SppError(
      'bad-data',
      `${data.name} has ${count} training examples; at least ${LEAST_EXAMPLES} are needed.`,
      { hint: data.length > 1 ? 'Give more text, or a shorter --length.' : 'Give more data.' },
    );
  }
  const order = shuffledRange(randomSource(seed, streams.calibration, 0), count);
  const keepable = KEPT_ELEMENTS / Math.max(1, elementCount(answer.answer));
  const fitting = Math.max(LEAST_USED, Math.floor(Math.min(keepable, HOLDOUT_TOKENS / data.length)));
  const holdout = Math.min(MOST_HOLDOUT, Math.floor(order.length / 8), fitting);
  const enough = data.length === 1 ? size : Math.max(LEAST_EXAMPLES, Math.floor(POOL_TOKENS / data.length));
  const drawn = Math.min(size, enough, order.length - holdout);
  return {
    data,
    ...answer,
    block: blockSize(data, answer.answer),
    holdout: order.slice(0, holdout),
    indices: order.slice(holdout, holdout + drawn),
    all: order.slice(holdout),
  };
}

/** Of the pool, the examples that moments are taken of. @param known moments that were taken of `seen` examples */
export function momentExamples(known: ReadonlyMap<string, Moments>, seen: number, pool: number): number {
  const all = [...known.values()];
  const widest = all.reduce((most, { size }) => Math.max(most, size), 0);
  const rows = all.reduce((most, { count }) => Math.max(most, count), 0);
  return rows === 0 ? 0 : Math.min(pool, Math.ceil((ROWS_AN_ENTRY * widest * seen) / rows));
}

/** Moments of some activations of a graph on the pool's first examples, without what is padded there. */
export async function measureMoments(
  graph: Graph,
  tensors: readonly string[],
  pool: Pool,
  sessions: SessionPool,
  progress: StageProgress,
): Promise<ReadonlyMap<string, Moments>> {
  if (tensors.length === 0) return new Map();
  const accumulator = new MomentsAccumulator(tensors);
  const tokens = await probeRows(graph, tensors, pool.data);
  const session = await sessions.open(ortModel(momentsGraph(graph, tensors, tokens)));
  try {
    let share = 0;
    await inOrder(
      blocks(pool.indices.length, Math.max(1, Math.floor(pool.block / sessions.size))),
      sessions.ahead,
      async (places) =>
        session.run(await pool.data.train.feeds(places.map((place) => pool.indices[place] as number))),
      (outputs) => {
        accumulator.add(outputs);
        const { rows, widest } = accumulator;
        share = Math.min(1, rows / (ROWS_AN_ENTRY * widest));
        progress.update(Math.round(100 * share), { rows });
        return share < 1;
      },
    );
  } finally {
    await session.close();
  }
  return accumulator.result();
}
