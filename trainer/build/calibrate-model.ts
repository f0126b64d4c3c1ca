/** From a prepared model to a rotated one, with all that search and levels need to know of it. */

import { SppError } from '../../schema/errors.ts';
import { orderTensors } from '../compensation/compensated-order.ts';
import { bindDataset } from '../data/bind-dataset.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { assertLabels } from '../measure/quality.ts';
import { chooseTask, labelled } from '../measure/task.ts';
import { keptPairs } from '../pairs/kept-pairs.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { LEAST_LIFT } from '../rotation/basis.ts';
import { rotatePairs, rotationTensors } from '../rotation/rotate-pairs.ts';
import { computeThreads } from '../runtime/compute.ts';
import { type SessionPool, startSessionPool, weightBytes } from '../runtime/session-pool.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { answerGraph, answerName, answerShape, measuredGraph } from './answer.ts';
import { planAnswer } from './answer-plan.ts';
import { type Answers, answersOf, denseAnswers, finiteAnswersOf } from './answers.ts';
import { drawPool, measureMoments, type Pool } from './calibration.ts';
import { checkedTokens } from './checked-tokens.ts';
import type { BuildOptions } from './options.ts';
import { probeOutputs } from './probe-outputs.ts';
import type { Progress } from './progress.ts';

/** What search and levels work on: the rotated model, its moments, the examples and the dense model's answers. */
export interface CalibratedModel {
  readonly model: PreparedModel;
  readonly moments: ReadonlyMap<string, Moments>;
  readonly pool: Pool;
  /** By place in the pool's indices. */
  readonly teacher: Answers;
  readonly holdoutTeacher: Tensor;
  /** The file's own function, with what the task's metric is taken of as its only output. */
  readonly dense: Graph;
}

/** Rotates the model by statistics of the training data, if asked to, and asks the dense model for its answers. */
export async function calibrate(
  prepared: PreparedModel,
  dataset: Dataset,
  options: BuildOptions,
  progress: Progress,
): Promise<CalibratedModel> {
  const sessions = startSessionPool(weightBytes(prepared.graph));
  try {
    const own = await observe(prepared, dataset, options, sessions, progress);
    return options.rotate ? await rotated(own, sessions) : own;
  } finally {
    await sessions.close();
  }
}

/** The model as it is, with its moments and its answers. */
async function observe(
  whole: PreparedModel,
  dataset: Dataset,
  options: BuildOptions,
  sessions: SessionPool,
  progress: Progress,
): Promise<CalibratedModel> {
  const threads = computeThreads();
  const pool = await poolFor(whole.graph, dataset, options);
  const measured = { task: pool.task.measure, split: pool.data.test, samples: options.testSamples };
  assertLabels(measured, pool.answer.at(-1) ?? 1);
  const prepared = keptPairs(whole, answerGraph(whole.graph, pool.task));
  const alone = whole.pairs.length - prepared.pairs.length;
  if (alone > 0)
    progress.note(
      `${alone} of ${whole.pairs.length} pairs do not reach ${pool.task.outputs.join(', ')}: they are left alone`,
    );
  const statistics = progress.stage('calibrate', 100);
  // A matrix of units by units for each: of wide models no more are held than are read.
  const { pairs } = prepared;
  const tensors = [
    ...new Set([...rotationTensors(pairs), ...(options.compensate ? orderTensors(pairs) : [])]),
  ];
  const moments = await measureMoments(prepared.graph, tensors, pool, sessions, statistics);
  statistics.finish();
  const dense = answerGraph(prepared.graph, pool.task);
  const asked = { split: pool.data.train, block: pool.block, threads, sessions };
  const answering = progress.stage('teacher', pool.indices.length);
  const teacher = await denseAnswers(dense, { ...asked, indices: pool.indices }, pool.answer, answering);
  const holdoutTeacher = await finiteAnswersOf(dense, { ...asked, indices: pool.holdout });
  answering.finish();
  return {
    model: prepared,
    moments,
    pool,
    teacher,
    holdoutTeacher,
    dense: measuredGraph(prepared.graph, pool.task),
  };
}

/** Lifts of the second moments that are tried, least first: rounding may need more than positive definiteness does. */
const LIFTS = [LEAST_LIFT, 1e-6, 1e-4] as const;

/** The same with attention pairs in their whitened singular bases. @throws `numerical-failure` when that changes the answers */
export async function rotated(own: CalibratedModel, sessions?: SessionPool): Promise<CalibratedModel> {
  const { model, moments, pool, holdoutTeacher } = own;
  const asked = {
    split: pool.data.train,
    block: pool.block,
    threads: computeThreads(),
    indices: pool.holdout,
    ...(sessions ? { sessions } : {}),
  };
  let least = Number.POSITIVE_INFINITY;
  for (const lift of LIFTS) {
    const turned = rotatePairs(model.graph, model.pairs, moments, lift);
    const error = changeOf(holdoutTeacher, await answersOf(answerGraph(turned.graph, pool.task), asked));
    if (error <= EXACT) return { ...own, model: { ...model, graph: turned.graph }, moments: turned.moments };
    if (error < least) least = error;
  }
  throw new SppError(
    'numerical-failure',
    `Rotation changed the model's output by ${least.toExponential(1)} (relative).`,
    { hint: 'Build with --no-rotate.' },
  );
}

async function poolFor(graph: Graph, dataset: Dataset, options: BuildOptions): Promise<Pool> {
  const data = checkedTokens(graph, bindDataset(dataset, graph.inputs));
  const shapes = labelled(await probeOutputs(graph, data), data.targets);
  const context = { targets: data.targets, length: data.length };
  const chosen = chooseTask(shapes, context, options);
  const { loss, seed } = options;
  const task = await planAnswer({ graph, data, task: chosen, shapes, loss, seed });
  const output = answerName(answerGraph(graph, task));
  return drawPool(data, { task, output, answer: answerShape(task) }, options.calibration, seed);
}

/** Largest difference to the dense model's answers that rounding may make, relative to the largest answer. */
const EXACT = 1e-4;

/** The largest difference, relative to the largest answer; NaN where an answer is not finite. */
function changeOf(dense: Tensor, rotated: Tensor): number {
  const [a, b] = [dense.data as Float32Array, rotated.data as Float32Array];
  const scale = a.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-30);
  return a.reduce((max, value, i) => Math.max(max, Math.abs(value - (b[i] as number))), 0) / scale;
}
