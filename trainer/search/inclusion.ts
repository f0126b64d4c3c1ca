/**
 * The differential inclusion over the masks, discretised; weights frozen, one mask entry a unit.
 * After SPP (Solution Path Pruning, ICLR 2025) in the paper's letters:
 *
 *     M <- M - eta (dL/dM + c (M - G))        masks: the loss against the coupling that pulls them to G
 *     V <- V + dt (M - G)                     dual
 *     G <- kappa max(0, V - lambda)           Gamma: prox of the l1 norm on V >= 0
 *
 * M = 1 and V = G = 0 at the start. Near the optimum M_j = h_j / (h_j + c_j) with h_j the loss's curvature in M_j: V
 * grows fastest where the model needs the unit, in the context of what is already weak. A unit's place on the path is
 * the time at which V crosses lambda and Gamma leaves 0, interpolated within the step; units that never enter follow by V.
 *
 * The coupling is finite and per unit, c_j = c0 cost_j (1/nu in the paper), so that entry ranks need per cost; c0 falls
 * log-linearly over the run, because a fixed one resolves only the depth at which h_j and c_j are of one size.
 * The step is per unit too, eta_j = step / (h_j + c_j), so that units of all scales relax equally fast.
 */
import { SppError } from '../../schema/errors.ts';

/** Settings that a run records; all found from the model itself but for these. */
export interface InclusionOptions {
  readonly steps: number;
  /** Quantiles of h_j / cost_j between which c0 is annealed, first to last. */
  readonly couplingQuantiles: readonly [first: number, last: number];
  readonly kappa: number;
  /** Threshold of the prox; with dt = 2 lambda / steps a unit at full rate enters at half time. */
  readonly lambda: number;
  /** Relaxation rate: eta_j = stepSize / (h_j + c_j), and the most a mask moves in a step. */
  readonly stepSize: number;
}

export const defaultInclusion: InclusionOptions = {
  steps: 120,
  couplingQuantiles: [0.999, 0.3],
  kappa: 1,
  lambda: 8,
  stepSize: 0.3,
};

/** Everything the next step depends on, flat over all units; plain data, so that it can be written down and resumed. */
export interface InclusionState {
  readonly step: number;
  readonly masks: Float64Array;
  readonly dual: Float64Array;
  readonly gamma: Float64Array;
  /** Step, with its fraction, at which the unit entered; Infinity until then. */
  readonly entry: Float64Array;
}

/** What the units are like: flat arrays over all units. */
export interface UnitScales {
  /** h_j: Fisher diagonal of the loss in the mask at M = 1. */
  readonly curvature: Float64Array;
  /** What keeping the unit costs; only ratios matter. */
  readonly cost: Float64Array;
}

/** M = 1, V = G = 0, and no unit has entered. @param units of all pairs together */
export function initialState(units: number): InclusionState {
  return {
    step: 0,
    masks: new Float64Array(units).fill(1),
    dual: new Float64Array(units),
    gamma: new Float64Array(units),
    entry: new Float64Array(units).fill(Number.POSITIVE_INFINITY),
  };
}

/**
 * One step of the inclusion.
 * @param gradient dL/dM at `state.masks`, [units]
 * @throws `numerical-failure` when a gradient is not finite
 */
export function inclusionStep(
  state: InclusionState,
  gradient: Float64Array,
  scales: UnitScales,
  options: InclusionOptions,
): InclusionState {
  assertFinite(gradient, `at step ${state.step}`);
  const c0 = couplingAt(state.step, scales, options);
  const dt = (2 * options.lambda) / options.steps;
  const units = state.masks.length;
  const next = {
    step: state.step + 1,
    masks: new Float64Array(units),
    dual: new Float64Array(units),
    gamma: new Float64Array(units),
    entry: Float64Array.from(state.entry),
  };
  for (let j = 0; j < units; j++) {
    const m = at(state.masks, j);
    const g = at(state.gamma, j);
    const slope = at(gradient, j);
    const c = c0 * at(scales.cost, j);
    const move = (options.stepSize * (slope + c * (m - g))) / (at(scales.curvature, j) + c);
    next.masks[j] = clamp(m - clamp(move, -options.stepSize, options.stepSize), 0, 1.5);
    const before = at(state.dual, j);
    const after = before + dt * (at(next.masks, j) - g);
    next.dual[j] = after;
    next.gamma[j] = options.kappa * Math.max(0, after - options.lambda);
    if (after > options.lambda && at(state.entry, j) === Number.POSITIVE_INFINITY) {
      next.entry[j] = state.step + (options.lambda - before) / (after - before);
    }
  }
  return next;
}

/** @param where it was computed, as in "at step 3" @throws `numerical-failure` naming the unit */
export function assertFinite(gradient: Float64Array, where: string): void {
  const stray = gradient.findIndex((slope) => !Number.isFinite(slope));
  if (stray < 0) return;
  throw new SppError('numerical-failure', `The gradient of unit ${stray} is not finite ${where}.`, {
    hint: 'Check the data and its normalisation, or try another --backend.',
  });
}

/** c0 at a step: log-linear between the two quantiles of curvature per cost. */
export function couplingAt(step: number, scales: UnitScales, options: InclusionOptions): number {
  const ratios = scales.curvature.map((h, j) => h / at(scales.cost, j)).sort();
  const [first, last] = options.couplingQuantiles.map((q) =>
    Math.max(quantile(ratios, q), Number.MIN_VALUE),
  ) as [number, number];
  const t = options.steps <= 1 ? 1 : Math.min(1, step / (options.steps - 1));
  return Math.exp((1 - t) * Math.log(first) + t * Math.log(last));
}

/** Units in path order: by entry time, those that never entered by falling V, ties by index. */
export function pathOrder(state: InclusionState): number[] {
  return Array.from(state.masks.keys()).sort((a, b) => {
    const [ta, tb] = [at(state.entry, a), at(state.entry, b)];
    if (ta !== tb) return ta - tb;
    return at(state.dual, b) - at(state.dual, a) || a - b;
  });
}

/** Share of units in the support of Gamma. */
export function supportShare(state: InclusionState): number {
  return state.gamma.reduce((count, g) => count + (g > 0 ? 1 : 0), 0) / Math.max(1, state.gamma.length);
}

/** Linear interpolation in an ascending array. */
export function quantile(ascending: ArrayLike<number>, q: number): number {
  const place = q * (ascending.length - 1);
  const low = Math.floor(place);
  const a = ascending[low] ?? Number.NaN;
  const b = ascending[Math.min(low + 1, ascending.length - 1)] ?? a;
  return a + (b - a) * (place - low);
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** Index within bounds by construction. */
function at(array: Float64Array, index: number): number {
  return array[index] as number;
}
