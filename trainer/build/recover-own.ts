/**
 * Joint recovery where levels own some tensors: output matrices, biases and normalisations are each level's own and start from
 * compensation, and the sparsest levels own all that is trained. What levels share is not trained: it is the dense model's, which stays
 * what it is. A step trains the sparsest levels and some of those above, so one run still serves all levels. Levels that own all may
 * begin in two ways, of which the better one goes on (`begin-own.ts`).
 */
import { z } from 'zod';
import { type LimitLog, noLimitLog } from '../engine/memory-limits.ts';
import { prefixMasks } from '../engine/step-variant.ts';
import type { Graph } from '../graph/graph.ts';
import { cutGraph, orderGraph } from '../pairs/cut.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { adamStep, rateAt, stepSizes } from '../recovery/adam.ts';
import { type Draw, drawByLoss } from '../recovery/draw-levels.ts';
import { copies, copyInto, zerosLike } from '../recovery/named-arrays.ts';
import { type OwnTensors, type Places, withOwn } from '../recovery/own-tensors.ts';
import {
  type Beginning,
  type BeginRequest,
  beginOwn,
  decided,
  type Trained,
  trialSteps,
} from './begin-own.ts';
import type { LevelModel } from './level-stage.ts';
import { nearerOnes } from './nearer-ones.ts';
import type { BuildOptions } from './options.ts';
import { ownership } from './own-names.ts';
import { arrays, diverged, LIMITS, trained } from './recover-stage.ts';
import { recoveryBatches } from './recovery-batches.ts';
import { type RecoveryEngineOptions, recoveryEngine } from './recovery-engine.ts';
import { throwIfAborted } from './throw-if-aborted.ts';

/** Everything the next step depends on. */
export interface OwnRecoveryState extends Beginning {
  readonly step: number;
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
  worth: z.int().nonnegative(),
  rates: z.array(z.number().nonnegative()),
  draw: z.object({
    always: z.int().nonnegative(),
    between: z.int().nonnegative(),
  }),
  // Infinite where a level's answers were no numbers.
  begin: z.array(z.union([z.number(), z.literal(Number.POSITIVE_INFINITY)]).optional()),
  own: z.array(trainedSchema),
  rivals: z.array(z.object({ rate: z.number().nonnegative(), trained: trainedSchema }).optional()),
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
  /** That were taken; steps from two beginnings count as what they cost. */
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

export interface OwnRecoveryRequest extends BeginRequest {
  readonly options: RecoveryEngineOptions & Pick<BuildOptions, 'batch' | 'seed'>;
  readonly memory: OwnRecoveryMemory;
}

const CHECKPOINT_EVERY = 50;
/** How much of a level's remembered loss a new one replaces. */
const LATELY = 0.2;
/** Of a level. */
const MOST_BEGINNINGS = 2;

/** @throws `numerical-failure` with the step and the level; the state before that step is kept */
export async function recoverOwn(request: OwnRecoveryRequest): Promise<RecoveredLevels> {
  const { calibrated, order, plan, options, memory, progress, signal } = request;
  const { model, pool } = calibrated;
  const { limits = noLimitLog } = memory;
  const ordered: PreparedModel = { ...model, graph: orderGraph(model, order) };
  let state = memory.state ?? (await start(request, ordered));
  const { steps, draw } = state;
  const { names, places } = ownership(ordered, pool, { ...plan, draw });
  if (state.step >= steps) return finished(request, ordered, names, places, state);
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
    const whole = copies(engine.weights);
    const gradientsOf = keptGradients();
    const levelOf = (level: number, own: OwnTensors) =>
      levelModel(ordered, plan.widths[level] ?? [], own, places[level] as Places);
    while (state.step < steps) {
      if (signal?.aborted) {
        await memory.save(state);
        throwIfAborted(signal);
      }
      const { feeds, loss, source } = await batches.at(state.step);
      const levels = drawByLoss(source, state.losses, state.rates, draw);
      const losses = Float64Array.from(state.losses);
      const runs = levels.flatMap((level) => runsOf(state, level));
      const failed = new Set<Run>();
      for (const [i, run] of runs.entries()) {
        const { level, trained: own } = run;
        // Memory may run out at any of a step's runs.
        const place = state.step * MOST_BEGINNINGS * plan.widths.length + i;
        limits.before(LIMITS, place, engine);
        // Levels that own all leave theirs there, so those of the dense model are written for each.
        copyInto(engine.weights, whole);
        copyInto(engine.weights, own.weights);
        const result = await engine.step({ feeds, loss, ...at[level] });
        await limits.after(LIMITS, place, engine);
        if (Number.isFinite(result.loss)) copyInto(gradientsOf(own), result.weights);
        else if (run.isRival) failed.add(run);
        else {
          await memory.save(state);
          throw diverged(result.loss, state.step, level);
        }
        if (!run.isRival) losses[level] = lately(losses[level] as number, result.loss);
      }
      const own = [...state.own];
      const rivals = [...state.rivals];
      for (const run of runs) {
        const { level, isRival, trained: from } = run;
        const rate = rateAt(state.step, steps, run.rate);
        if (failed.has(run)) rivals[level] = undefined;
        else if (isRival)
          rivals[level] = { rate: run.rate, trained: moved(from, gradientsOf(from), sizes, rate) };
        else own[level] = moved(from, gradientsOf(from), sizes, rate);
      }
      state = { ...state, step: state.step + 1, own, rivals, losses };
      if (state.step >= trialSteps(steps) && rivals.length > 0)
        state = await decided(state, calibrated, levelOf, progress);
      if (state.step % CHECKPOINT_EVERY === 0) await memory.save(state);
      stage.update(state.step, shownLosses(losses));
    }
    await memory.save(state);
    stage.finish();
    return await finished(request, ordered, names, places, state);
  } finally {
    await batches.close();
    await engine.close();
  }
}

async function start(request: OwnRecoveryRequest, ordered: PreparedModel): Promise<OwnRecoveryState> {
  const beginning = await beginOwn(request, ordered);
  return { ...beginning, step: 0, losses: new Float64Array(beginning.own.length).fill(Number.NaN) };
}

/** What a step trains. */
interface Run {
  readonly level: number;
  readonly isRival: boolean;
  /** At its peak. */
  readonly rate: number;
  readonly trained: Trained;
}

/** Of one level, as long as that is open from both of its beginnings. */
function runsOf({ own, rates, rivals }: OwnRecoveryState, level: number): Run[] {
  const rival = rivals[level];
  return [
    { level, isRival: false, rate: rates[level] as number, trained: own[level] as Trained },
    ...(rival === undefined ? [] : [{ level, isRival: true, ...rival }]),
  ];
}

/** Made once for each that is trained: arrays of this size in every step would keep the collector busy. */
function keptGradients(): (of: Trained) => ReadonlyMap<string, Float32Array> {
  const gradients = new WeakMap<Trained['weights'], ReadonlyMap<string, Float32Array>>();
  return ({ weights }) => {
    const made = gradients.get(weights) ?? zerosLike(weights);
    gradients.set(weights, made);
    return made;
  };
}

function lately(before: number, loss: number): number {
  return Number.isNaN(before) ? loss : before + LATELY * (loss - before);
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

async function finished(
  request: OwnRecoveryRequest,
  model: PreparedModel,
  names: readonly (readonly string[])[],
  places: readonly Places[],
  { worth, draw, begin, rates, own }: OwnRecoveryState,
): Promise<RecoveredLevels> {
  const { widths, train, steps: planned } = request.plan;
  const recovered = widths.map((row, level): LevelModel => {
    const cut = levelModel(model, row, own[level]?.weights ?? new Map(), places[level] as Places);
    return { cut, keep: firstUnits(row), refitted: train !== 'vectors' };
  });
  const trainedFrom = begin.map((loss, level) => (rates[level] === 0 ? undefined : loss));
  const levels = await nearerOnes(request, model, places, trainedFrom, recovered);
  return { model, steps: worth, draw, near: worth < planned, names, levels };
}

/** The first so many units of each pair, with the level's own values. */
function levelModel(model: PreparedModel, row: readonly number[], own: OwnTensors, places: Places): Graph {
  return withOwn(cutGraph(model, firstUnits(row)), own, places);
}

const firstUnits = (row: readonly number[]) =>
  row.map((width) => Array.from({ length: width }, (_, unit) => unit));
