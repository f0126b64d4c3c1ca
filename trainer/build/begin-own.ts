/**
 * Where levels begin that own what recovery trains: as compensation leaves them. Those that own all of it need not be nested in others, so
 * they may also begin with the units that the search prefers, as they are cut. A refit to few units is nearer to the dense model and
 * can be worse to train from. Where it is hardly nearer, both are trained for a while, then the better one goes on: what began farther comes nearer
 * faster, so it is taken from where it is nearly as near.
 */
import type { Graph } from '../graph/graph.ts';
import { cutGraph } from '../pairs/cut.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { type AdamState, adamStart } from '../recovery/adam.ts';
import type { Draw } from '../recovery/draw-levels.ts';
import { type OwnTensors, ownOf, type Places } from '../recovery/own-tensors.ts';
import {
  CLOSING,
  need,
  type RecoveryPlan,
  rateShares,
  settledDraw,
  stepsWithTrial,
  TRIAL,
  WORTH_TRYING,
} from '../recovery/plan.ts';
import { computeThreads } from '../runtime/compute.ts';
import { sizeAt } from '../search/allocate.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import { buildLevels, holdoutLoss, keepAt, type LevelModel } from './level-stage.ts';
import { ownership } from './own-names.ts';
import type { Progress } from './progress.ts';

export interface Trained extends AdamState {
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** A level that began otherwise. */
export interface Rival {
  /** At its peak. */
  readonly rate: number;
  readonly trained: Trained;
}

export interface Beginning {
  /** Of the whole run. */
  readonly steps: number;
  /** So many steps from one beginning cost as much. */
  readonly worth: number;
  /** By level, at their peak; 0 where a level is not trained. */
  readonly rates: readonly number[];
  readonly draw: Draw;
  /** By level, how far compensation leaves it from the dense model on held-out examples; undefined where that is not known. */
  readonly begin: readonly (number | undefined)[];
  /** By level, sparsest first. */
  readonly own: readonly Trained[];
  /** By level, the sparsest first, as long as two are tried. */
  readonly rivals: readonly (Rival | undefined)[];
}

export interface BeginRequest {
  readonly calibrated: CalibratedModel;
  /** Units of each pair in path order. */
  readonly order: readonly (readonly number[])[];
  /** In the order of the search, where levels may begin with those. */
  readonly searched?: readonly (readonly number[])[] | undefined;
  readonly plan: RecoveryPlan;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** From compensation, where it refits what is trained: that is each level's own from the first step on. Else levels are as they are cut. */
export async function beginOwn(
  { calibrated, order, searched, plan, progress, signal }: BeginRequest,
  ordered: PreparedModel,
): Promise<Beginning> {
  const compensate = plan.train !== 'vectors';
  const levels = await buildLevels(calibrated, order, plan.widths, { compensate }, progress, signal);
  const begin = levels.map(({ loss }) => loss);
  const draw = settledDraw(plan.draw, begin);
  const { places } = ownership(ordered, calibrated.pool, { ...plan, draw });
  const losses = begin.flatMap((loss) => loss ?? []);
  const share = plan.byNeed === true && losses.length > 0 ? need(losses) : 1;
  const rates = rateShares(begin).map((of) => of * plan.rate);
  const worth = rates.some((rate) => rate > 0) ? Math.ceil(share * plan.steps) : 0;
  if (share < 1)
    progress.note(
      `recovery takes ${worth} steps instead of ${plan.steps}: levels begin at most ${Math.max(...losses).toPrecision(2)} from the dense model`,
    );
  const rivals: (Rival | undefined)[] = [];
  if (compensate && searched !== undefined && trialSteps(worth) > 0)
    for (let level = 0; level < draw.always; level++) rivals.push(await rivalOf(level, levels[level]));
  const tried = rivals.flatMap((rival, level) => (rival === undefined ? [] : [level]));
  const steps = stepsWithTrial(worth, flopShares(calibrated.model, plan.widths), draw, tried);
  if (tried.length > 0)
    progress.note(
      `recovery trains ${tried.length} ${tried.length === 1 ? 'level' : 'levels'} from two beginnings for ${trialSteps(steps)} steps: all ${steps} steps cost what ${worth} do from one`,
    );
  return {
    steps,
    worth,
    rates,
    draw,
    begin,
    own: levels.map(({ cut }, level) => begun(ownOf(ordered.graph, cut, places[level] as Places))),
    rivals,
  };

  /** Absent where the level is not trained, is brought much nearer by compensation, or where what it does not own would differ, too. */
  async function rivalOf(level: number, compensated: LevelModel | undefined): Promise<Rival | undefined> {
    const { model, pool, holdoutTeacher } = calibrated;
    const cut = cutGraph(model, keepAt(searched ?? order, plan.widths[level] ?? []));
    const at = places[level] as Places;
    if (rates[level] === 0 || !differsOnlyIn(new Set(at.keys()), cut, compensated?.cut)) return undefined;
    const loss = await holdoutLoss(cut, pool, holdoutTeacher, computeThreads());
    if (loss > WORTH_TRYING * (compensated?.loss ?? 0)) return undefined;
    const [share = 1] = rateShares([loss, undefined]);
    return { rate: share * plan.rate, trained: begun(ownOf(ordered.graph, cut, at)) };
  }
}

/** For how many steps both beginnings of a level are trained. @param steps of the whole run */
export function trialSteps(steps: number): number {
  return Math.round(TRIAL * steps);
}

function flopShares(model: PreparedModel, widths: RecoveryPlan['widths']): number[] {
  const flops = widths.map((row) => sizeAt(model.pairs, row, model).flops);
  return flops.map((level) => level / (flops.at(-1) ?? 1));
}

function begun(weights: OwnTensors): Trained {
  return { ...adamStart(weights), weights };
}

function differsOnlyIn(names: ReadonlySet<string>, graph: Graph, other: Graph | undefined): boolean {
  return [...graph.initializers].every(([name, { data }]) => {
    const values = other?.initializers.get(name)?.data;
    return (
      names.has(name) || (data.length === values?.length && data.every((value, i) => value === values[i]))
    );
  });
}

/** Of a run whose trial is over: each level goes on as what it began as, or otherwise, by how near both are to the dense model on held-out examples. */
export async function decided<State extends Pick<Beginning, 'own' | 'rates' | 'rivals'>>(
  state: State,
  calibrated: CalibratedModel,
  levelOf: (level: number, weights: OwnTensors) => Graph,
  progress: Pick<Progress, 'note'>,
): Promise<State> {
  const { pool, holdoutTeacher } = calibrated;
  const own = [...state.own];
  const rates = [...state.rates];
  for (const [level, rival] of state.rivals.entries()) {
    const now = own[level];
    if (rival === undefined || now === undefined) continue;
    const distance = (weights: OwnTensors) =>
      holdoutLoss(levelOf(level, weights), pool, holdoutTeacher, computeThreads());
    const [otherwise, compensated] = [await distance(rival.trained.weights), await distance(now.weights)];
    const changes = Number.isFinite(otherwise) && otherwise <= CLOSING * compensated;
    progress.note(
      `level ${level} goes on ${changes ? "from the search's units as they were cut" : 'from compensation'}: held out it is ${(changes ? otherwise : compensated).toPrecision(3)} from the dense model, ${(changes ? compensated : otherwise).toPrecision(3)} the other way`,
    );
    if (!changes) continue;
    own[level] = rival.trained;
    rates[level] = rival.rate;
  }
  return { ...state, own, rates, rivals: [] };
}
