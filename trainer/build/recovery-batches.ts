/** What recovery's steps compute on: examples and the dense model's answers to them, made while the step before is computed. */
import type { Tensors } from '../data/dataset.ts';
import type { LossTarget } from '../engine/loss.ts';
import { computeProvider, computeThreads } from '../runtime/compute.ts';
import { startSessionPool, weightBytes } from '../runtime/session-pool.ts';
import { type RandomSource, randomSource, sampleIndices, streams } from '../search/random.ts';
import { answerGraph } from './answer.ts';
import { type Answers, freshAnswers } from './answers.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { BuildOptions } from './options.ts';

export interface RecoveryBatch {
  readonly feeds: Tensors;
  readonly loss: LossTarget;
  /** The step's own, behind what chose the examples. */
  readonly source: RandomSource;
}

export interface RecoveryBatches {
  /** The same for the same step, in whatever order steps are asked for; the one behind it is begun. */
  at(step: number): Promise<RecoveryBatch>;
  close(): Promise<void>;
}

/**
 * @param calibrated with the weights as the engine has them, so that both map the same file
 * @param steps of the whole recovery: nothing is made for a step behind the last one
 */
export async function recoveryBatches(
  calibrated: CalibratedModel,
  { batch, seed }: Pick<BuildOptions, 'batch' | 'seed'>,
  steps: number,
): Promise<RecoveryBatches> {
  const { pool } = calibrated;
  // A short recovery sees no more examples than those that the dense model has answered already.
  const drawn = steps * batch <= pool.indices.length ? pool.indices.length : pool.all.length;
  const teacher = await teacherOf(drawn, calibrated);
  const make = async (step: number): Promise<RecoveryBatch> => {
    const source = randomSource(seed, streams.recovery, step);
    const places = sampleIndices(source, drawn, batch);
    const [feeds, answers] = await Promise.all([
      pool.data.train.feeds(places.map((place) => pool.all[place] as number)),
      teacher.rows(places),
    ]);
    return { feeds, loss: { kind: pool.task.loss, output: pool.output, teacher: answers }, source };
  };
  let ahead: { readonly step: number; readonly made: Promise<RecoveryBatch> } | undefined;
  return {
    at(step) {
      const made = ahead?.step === step ? ahead.made : make(step);
      ahead = step + 1 < steps ? { step: step + 1, made: make(step + 1) } : undefined;
      // Whoever asks for that step hears of a failure; until then it must not count as unhandled.
      ahead?.made.catch(() => {});
      return made;
    },
    async close() {
      await ahead?.made.catch(() => {});
      await teacher.close();
    },
  };
}

/** A long recovery sees more examples than the search, each of them seldom twice. */
async function teacherOf(drawn: number, { model, pool, teacher }: CalibratedModel): Promise<Answers> {
  if (drawn === pool.indices.length) return { rows: (places) => teacher.rows(places), close: async () => {} };
  const { data, all, block } = pool;
  const dense = answerGraph(model.graph, pool.task);
  const asked = { split: data.train, indices: all, block, threads: computeThreads() };
  if (computeProvider() !== 'cpu') return freshAnswers(dense, asked);
  const sessions = startSessionPool(weightBytes(model.graph));
  const answers = await freshAnswers(dense, { ...asked, sessions });
  return {
    rows: (places) => answers.rows(places),
    async close() {
      await answers.close();
      await sessions.close();
    },
  };
}
