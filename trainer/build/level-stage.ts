/** Turns widths into models: cut, and refitted where that is better on held-out data. */

import { privateBiases } from '../compensation/compensate-level.ts';
import { mapTensors } from '../compensation/score-map.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { divergences, information, paddingOf, squaredDistances } from '../measure/scores.ts';
import { cutGraph } from '../pairs/cut.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { NEAR } from '../recovery/plan.ts';
import { computeThreads } from '../runtime/compute.ts';
import { inOrder, type SessionPool, startSessionPool, weightBytes } from '../runtime/session-pool.ts';
import { answerGraph } from './answer.ts';
import { answersOf } from './answers.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { Pool } from './calibration.ts';
import { type DenseStreams, denseStreams, refitSites, scoreRows, scoreSites } from './dense-streams.ts';
import { isLarge } from './memory-plan.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { refitLevel } from './refit-level.ts';
import { throwIfAborted } from './throw-if-aborted.ts';

export interface LevelModel {
  readonly cut: Graph;
  readonly keep: readonly (readonly number[])[];
  /** Whether the output matrices are the level's own. */
  readonly refitted: boolean;
  /** From the dense model on held-out examples, where it was measured. */
  readonly loss?: number;
}

/** While one level's matrices are solved for, the threads compute another's moments; of large models, that of one is enough to hold. */
export const LEVELS_AT_ONCE = 2;

/** Where quality is one less the squared distance, thousandths of it are seen, and decide which level is good for at most 0.1 % loss. */
const NEAR_SQUARED = 1e-4;

/** The loss of a level that needs nothing. */
const nearFor = ({ loss }: Pick<Pool['task'], 'loss'>) => (loss === 'kl' ? NEAR : NEAR_SQUARED);

/** Kept unit indices by pair: the first `width` of each pair's order. */
export function keepAt(order: readonly (readonly number[])[], widths: readonly number[]): number[][] {
  return order.map((units, p) => units.slice(0, widths[p] ?? units.length));
}

/**
 * Models of all levels, sparsest first.
 * @param uncompensated the levels as they are cut, where they are more than a part of the model
 */
export async function buildLevels(
  { model, pool, holdoutTeacher }: CalibratedModel,
  order: readonly (readonly number[])[],
  widths: readonly (readonly number[])[],
  options: Pick<BuildOptions, 'compensate'>,
  progress: Progress,
  signal?: AbortSignal,
  uncompensated?: readonly LevelModel[],
): Promise<LevelModel[]> {
  const threads = computeThreads();
  const stage = progress.stage('compensate', widths.length);
  const streams = options.compensate ? await targetsOf(model, pool, threads) : undefined;
  const levels: LevelModel[] = [];
  const plainAt = (row: readonly number[], level: number): LevelModel => {
    const keep = keepAt(order, row);
    return uncompensated?.[level] ?? { cut: cutGraph(model, keep), keep, refitted: false };
  };
  const isDense = ({ keep }: LevelModel) => keep.every((units, p) => units.length === model.pairs[p]?.units);
  if (streams === undefined) levels.push(...widths.map(plainAt));
  else await addRefitted(streams);
  const losses = levels.flatMap(({ loss }) => loss ?? []);
  stage.finish(losses.length === 0 ? {} : { farthest: Math.max(...losses), together: sumOf(losses) });
  return levels;

  async function addRefitted(targets: Targets): Promise<void> {
    const weights = weightBytes(model.graph);
    const sessions = startSessionPool(weights);
    const make = async ([place, row]: readonly [number, readonly number[]]) => {
      throwIfAborted(signal);
      const plain = plainAt(row, place);
      if (isDense(plain)) return plain;
      // What is trained before it is refitted may be worse to refit than what was not.
      const untrained = uncompensated?.[place]?.refitted === false ? cutGraph(model, plain.keep) : undefined;
      return best(plain, untrained, targets, sessions);
    };
    try {
      await inOrder(widths.entries(), isLarge(weights) ? 1 : LEVELS_AT_ONCE, make, (level) => {
        levels.push(level);
        stage.update(levels.length);
      });
    } finally {
      await sessions.close();
    }
  }

  /**
   * What is nearest to the dense model on held-out examples: the level as cut or with its output matrices refitted, then the nearer one
   * as it is or with its scores' matrix refitted.
   * @param untrained the level as cut, where it has been trained since
   */
  async function best(
    plain: LevelModel,
    untrained: Graph | undefined,
    { matrices, scores }: Targets,
    sessions: SessionPool,
  ): Promise<LevelModel> {
    const scoreBiases = new Set(scores.sites.flatMap(({ consumer }) => consumer.bias?.tensor ?? []));
    let [nearest, least] = [plain.cut, Number.POSITIVE_INFINITY];
    const offer = async (graph: Graph) => {
      const loss = await holdoutLoss(graph, pool, holdoutTeacher, threads, sessions);
      if (loss < least) [nearest, least] = [graph, loss];
    };
    await offer(plain.cut);
    if (least <= nearFor(pool.task)) return { ...plain, loss: least };
    const biases = privateBiases(model.pairs);
    await offer(await refitLevel(plain.cut, biases, matrices, sessions));
    if (untrained !== undefined) await offer(await refitLevel(untrained, biases, matrices, sessions));
    if (scores.sites.length > 0) await offer(await refitLevel(nearest, scoreBiases, scores, sessions));
    return { ...plain, cut: nearest, refitted: plain.refitted || nearest !== plain.cut, loss: least };
  }
}

/** What the dense model has behind the pairs' output matrices, and its scores. */
interface Targets {
  readonly matrices: DenseStreams;
  readonly scores: DenseStreams;
}

async function targetsOf(model: PreparedModel, pool: Pool, threads: number): Promise<Targets> {
  const sites = scoreSites(model, pool);
  return {
    matrices: await denseStreams(model, refitSites(model), pool, threads),
    scores: await denseStreams(model, sites, pool, threads, scoreRows(model, sites)),
  };
}

const sumOf = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** Initializers that compensation may change: what a level owns. */
export function ownTensors(
  model: Pick<PreparedModel, 'graph' | 'pairs'>,
  pool: Pick<Pool, 'task'>,
): string[] {
  const biases = privateBiases(model.pairs);
  const ofPairs = refitSites(model).flatMap(({ consumer: { weight, bias } }) => [
    weight.tensor,
    ...(bias && biases.has(bias.tensor) ? [bias.tensor] : []),
  ]);
  const ofScores = scoreSites(model, pool).flatMap(({ consumer }) => mapTensors(consumer));
  return [...new Set([...ofPairs, ...ofScores])];
}

/**
 * Mean over the held-out rows that are no padding of KL(dense || level), in nats, or of the squared distance. Where the dense model's scores
 * tell less than a nat, as those of a cosine classifier without its scale, KL is a share of what they tell. Infinite where the level's
 * answers are no numbers: nothing is farther.
 */
export async function holdoutLoss(
  graph: Graph,
  pool: Pool,
  teacher: Tensor,
  threads: number,
  sessions?: SessionPool,
): Promise<number> {
  const asked = {
    split: pool.data.train,
    indices: pool.holdout,
    block: pool.block,
    threads,
    ...(sessions ? { sessions } : {}),
  };
  const distances = pool.task.loss === 'kl' ? divergences : squaredDistances;
  const padded = paddingOf(teacher);
  const all = distances(teacher, await answersOf(answerGraph(graph, pool.task), asked));
  const rows = all.filter((_, row) => !padded(row));
  const unit = pool.task.loss === 'kl' ? unitOf(teacher) : 1;
  const loss = rows.reduce((a, b) => a + b, 0) / rows.length / unit;
  return Number.isNaN(loss) ? Number.POSITIVE_INFINITY : loss;
}

/** Below, scores are all alike but for rounding. */
const NOTHING_TOLD = 1e-12;
/** By the dense model's scores, which are the same for every level. */
const units = new WeakMap<Tensor, number>();

function unitOf(teacher: Tensor): number {
  const known = units.get(teacher);
  if (known !== undefined) return known;
  const padded = paddingOf(teacher);
  const told = information(teacher, (row) => !padded(row));
  const unit = told > NOTHING_TOLD ? Math.min(1, told) : 1;
  units.set(teacher, unit);
  return unit;
}
