/**
 * Joint recovery where levels own some tensors: output matrices, biases and normalisations are each level's own and start from
 * compensation, and the sparsest levels own all that is trained. What levels share is not trained: it is the dense model's, which stays
 * what it is. A step trains the sparsest levels and some of those above, so one run still serves all levels.
 */
import { z } from 'zod';
import { type LimitLog, noLimitLog } from '../engine/memory-limits.ts';
import { prefixMasks } from '../engine/step-variant.ts';
import { cutGraph, orderGraph } from '../pairs/cut.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { type AdamState, adamStart, adamStep, rateAt, stepSizes } from '../recovery/adam.ts';
import { type Draw, drawByLoss } from '../recovery/draw-levels.ts';
import { copies, copyInto, zerosLike } from '../recovery/named-arrays.ts';
import { type OwnTensors, ownOf, type Places, placesAt, withOwn } from '../recovery/own-tensors.ts';
import { need, type RecoveryPlan, rateShares, settledDraw } from '../recovery/plan.ts';
import { answerGraph } from './answer.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import { buildLevels, type LevelModel, ownTensors } from './level-stage.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { arrays, diverged, LIMITS, trained } from './recover-stage.ts';
import { recoveryBatches } from './recovery-batches.ts';
import { type RecoveryEngineOptions, recoveryEngine } from './recovery-engine.ts';
import { throwIfAborted } from './search-stage.ts';

interface Trained extends AdamState {
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** Everything the next step depends on. */
export interface OwnRecoveryState {
  readonly step: number;
  /** Of the whole run. */
  readonly steps: number;
  /** By level, at their peak; 0 where a level is not trained. */
  readonly rates: readonly number[];
  readonly draw: Draw;
  /** By level, sparsest first. */
  readonly own: readonly Trained[];
  /** By level, the loss as it was lately; NaN before the first step. */
  readonly losses: Float64Array;
}

const trainedSchema = z.object({
  step: z.int().nonnegative(),
  weights: arrays,
  first: arrays,
  second: arrays,
});
export const ownRecoveryStateSchema: z.ZodType<OwnRecoveryState> = z.object({
  step: z.int().nonnegative(),
  steps: z.int().nonnegative(),
  rates: z.array(z.number().nonnegative()),
  draw: z.object({ always: z.int().nonnegative(), between: z.int().nonnegative() }),
  own: z.array(trainedSchema),
  losses: z.instanceof(Float64Array),
});

export interface OwnRecoveryMemory {
  readonly state: OwnRecoveryState | undefined;
  /** What the run learns about memory. */
  readonly limits?: LimitLog;
  save(state: OwnRecoveryState): Promise<void>;
}

export interface RecoveredLevels {
  /** In path order: the dense level. */
  readonly model: PreparedModel;
  /** That were taken. */
  readonly steps: number;
  /** Of each of them. */
  readonly draw: Draw;
  /** Whether levels began near the dense model, and so moved little. */
  readonly near: boolean;
  /** By level, the tensors that it owns. */
  readonly names: readonly (readonly string[])[];
  /** Sparsest first. */
  readonly levels: readonly LevelModel[];
}

export interface OwnRecoveryRequest {
  readonly calibrated: CalibratedModel;
  /** Units of each pair in path order. */
  readonly order: readonly (readonly number[])[];
  readonly plan: RecoveryPlan;
  readonly options: RecoveryEngineOptions & Pick<BuildOptions, 'batch' | 'seed'>;
  readonly memory: OwnRecoveryMemory;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

const CHECKPOINT_EVERY = 50;
/** How much of a level's remembered loss a new one replaces. */
const LATELY = 0.2;

/** @throws `numerical-failure` with the step and the level; the last good state is kept */
export async function recoverOwn(request: OwnRecoveryRequest): Promise<RecoveredLevels> {
  const { calibrated, order, plan, options, memory, progress, signal } = request;
  const { model, pool } = calibrated;
  const { limits = noLimitLog } = memory;
  const ordered: PreparedModel = { ...model, graph: orderGraph(model, order) };
  let state = memory.state ?? (await start(request, ordered));
  const { steps, draw } = state;
  const { names, places } = ownership(ordered, pool, { ...plan, draw });
  if (state.step >= steps) return finished(ordered, plan, names, places, state);
  const stage = progress.stage('recover', steps, state.step);
  const weights = [...new Set([...trained(ordered, plan.train), ...names.flat()])];
  const engine = await recoveryEngine(ordered, calibrated, plan, weights, options, progress);
  const at = plan.widths.map((row) =>
    plan.train === 'vectors' ? { masks: prefixMasks(row, ordered) } : { widths: row },
  );
  const batches = await recoveryBatches({ ...calibrated, model: ordered }, options, steps);
  try {
    // The engine still has the weights as the run began, also when it goes on.
    const sizes = stepSizes(engine.weights);
    const whole = copies([...engine.weights.keys()], engine.weights);
    // Made once: arrays of this size in every step would keep the collector busy.
    const gradients = new Map<number, ReadonlyMap<string, Float32Array>>();
    const gradientsOf = (level: number) => {
      const made = gradients.get(level) ?? zerosLike((state.own[level] as Trained).weights);
      gradients.set(level, made);
      return made;
    };
    while (state.step < steps) {
      if (signal?.aborted) {
        await memory.save(state);
        throwIfAborted(signal);
      }
      const { feeds, loss, source } = await batches.at(state.step);
      const levels = drawByLoss(source, state.losses, state.rates, draw);
      const losses = Float64Array.from(state.losses);
      for (const [i, level] of levels.entries()) {
        // Memory may run out at any of a step's levels.
        const place = state.step * levels.length + i;
        limits.before(LIMITS, place, engine);
        // Levels that own all leave theirs there, so those of the dense model are written for each.
        copyInto(engine.weights, whole);
        copyInto(engine.weights, (state.own[level] as Trained).weights);
        const result = await engine.step({ feeds, loss, ...at[level] });
        await limits.after(LIMITS, place, engine);
        if (!Number.isFinite(result.loss)) {
          await memory.save(state);
          throw diverged(result.loss, state.step, level);
        }
        const before = losses[level] as number;
        losses[level] = Number.isNaN(before) ? result.loss : before + LATELY * (result.loss - before);
        copyInto(gradientsOf(level), result.weights);
      }
      const own = [...state.own];
      for (const level of levels) {
        const rate = rateAt(state.step, steps, state.rates[level] as number);
        own[level] = moved(own[level] as Trained, gradientsOf(level), sizes, rate);
      }
      state = { ...state, step: state.step + 1, own, losses };
      if (state.step % CHECKPOINT_EVERY === 0) await memory.save(state);
      stage.update(state.step, shownLosses(losses));
    }
    await memory.save(state);
    stage.finish();
    return finished(ordered, plan, names, places, state);
  } finally {
    await batches.close();
    await engine.close();
  }
}

/** From compensation, where it refits what is trained: that is each level's own from the first step on. Else levels are as they are cut. */
async function start(
  { calibrated, order, plan, progress, signal }: OwnRecoveryRequest,
  ordered: PreparedModel,
): Promise<OwnRecoveryState> {
  const compensate = plan.train !== 'vectors';
  const levels = await buildLevels(calibrated, order, plan.widths, { compensate }, progress, signal);
  const begin = levels.map(({ loss }) => loss);
  const draw = settledDraw(plan.draw, begin);
  const { places } = ownership(ordered, calibrated.pool, { ...plan, draw });
  const losses = begin.flatMap((loss) => loss ?? []);
  const share = plan.byNeed === true && losses.length > 0 ? need(losses) : 1;
  const rates = rateShares(begin).map((of) => of * plan.rate);
  const steps = rates.some((rate) => rate > 0) ? Math.ceil(share * plan.steps) : 0;
  if (share < 1)
    progress.note(
      `recovery takes ${steps} steps instead of ${plan.steps}: levels begin at most ${Math.max(...losses).toPrecision(2)} from the dense model`,
    );
  return {
    step: 0,
    steps,
    rates,
    draw,
    own: levels.map(({ cut }, level) => begun(ownOf(ordered.graph, cut, places[level] as Places))),
    losses: new Float64Array(levels.length).fill(Number.NaN),
  };
}

function begun(weights: OwnTensors): Trained {
  return { ...adamStart(weights), weights };
}

/** Moves the weights in place. */
function moved(
  from: Trained,
  gradients: OwnTensors,
  sizes: ReadonlyMap<string, number>,
  rate: number,
): Trained {
  return { ...adamStep(from.weights, gradients, sizes, from, rate), weights: from.weights };
}

/** Of the sparsest and the densest level that have been trained. */
function shownLosses(losses: Float64Array): Record<string, number> {
  const known = losses.filter((loss) => !Number.isNaN(loss));
  return { sparsest: known[0] ?? Number.NaN, densest: known.at(-1) ?? Number.NaN };
}

/** What each level owns, and where that lies in it. */
function ownership(
  ordered: PreparedModel,
  pool: CalibratedModel['pool'],
  plan: Pick<RecoveryPlan, 'train' | 'draw' | 'widths'>,
): { readonly names: readonly string[][]; readonly places: readonly Places[] } {
  const names = namesByLevel(ordered, pool, plan);
  return { names, places: plan.widths.map((row, level) => placesAt(ordered, names[level] as string[], row)) };
}

/** All that is trained for the levels of every step, else what `ownNames` says. */
export function namesByLevel(
  model: PreparedModel,
  pool: CalibratedModel['pool'],
  { train, widths, draw }: Pick<RecoveryPlan, 'train' | 'draw'> & { readonly widths: readonly unknown[] },
): string[][] {
  const some = ownNames(model, pool, train);
  const all = [...new Set([...trained(model, train), ...some])];
  return widths.map((_, level) => (level < draw.always ? all : some));
}

/**
 * What levels own: what compensation refits, and unless only pairs are trained all vectors that training changes: biases and scales are
 * small, and say much of what a level's features are like. Those alone where only they are trained.
 */
function ownNames(
  model: PreparedModel,
  pool: CalibratedModel['pool'],
  train: RecoveryPlan['train'],
): string[] {
  // Others lead to outputs that the path does not keep.
  const { initializers } = answerGraph(model.graph, pool.task);
  const vectors = trained(model, 'vectors').filter((name) => initializers.has(name));
  if (train === 'vectors') return vectors;
  const refitted = ownTensors(model, pool);
  if (train === 'pairs') return refitted;
  return [...new Set([...refitted, ...vectors])];
}

function finished(
  model: PreparedModel,
  { widths, train, steps: planned }: Pick<RecoveryPlan, 'widths' | 'train' | 'steps'>,
  names: readonly (readonly string[])[],
  places: readonly Places[],
  { steps, draw, own }: OwnRecoveryState,
): RecoveredLevels {
  const levels = widths.map((row, level): LevelModel => {
    const keep = row.map((width) => Array.from({ length: width }, (_, unit) => unit));
    const cut = withOwn(cutGraph(model, keep), own[level]?.weights ?? new Map(), places[level] as Places);
    return { cut, keep, refitted: train !== 'vectors' };
  });
  return { model, steps, draw, near: steps < planned, names, levels };
}
