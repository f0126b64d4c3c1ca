/**
 * Which units of a pair to do without, when the output matrix is refitted to those that stay.
 *
 * With A the covariance of the units (damped), P the inverse of its part for the kept units, and w_j the row of unit j in the
 * output matrix as refitted to the kept units, cutting unit j and refitting the others costs exactly
 *     ||w_j||^2 / P_jj
 * of squared error at the output. That is the Optimal Brain Surgeon's rule (Hassibi, Stork: Second order derivatives for
 * network pruning, NIPS 1992) with a unit in the place of a weight. The cheapest unit goes, the rest is refitted, and so on;
 * so of two units that say the same one goes early and the other stays.
 */
import type { Moments } from '../statistics/activation-moments.ts';
import type { UnitMatrix } from '../weights/linear-weights.ts';
import { dampedSolve } from './damped-solve.ts';

/** Of the mean variance: what keeps units that never vary, or that others tell exactly, from dividing by nothing. */
const DAMPING = 1e-3;

/** Those still kept stand first in both. */
interface Elimination {
  /** [units, units], of the damped covariance of those still kept. */
  readonly inverse: Float64Array;
  /** [units, width], the output matrix as refitted so far. */
  readonly rows: Float64Array;
  readonly units: number;
  readonly width: number;
}

/**
 * @param matrix the output matrix [dOut, units]
 * @param moments of the matrix's input
 * @returns all units, the one that is cut last first
 */
export function eliminationOrder(
  matrix: UnitMatrix,
  moments: Pick<Moments, 'count' | 'sum' | 'gram'>,
): number[] {
  const units = matrix.cols;
  const inverse = dampedInverse(moments, units);
  const state = { inverse, rows: byUnit(matrix), units, width: matrix.rows };
  const at = Array.from({ length: units }, (_, unit) => unit);
  const cut: number[] = [];
  for (let kept = units; kept > 0; kept--) {
    const place = cheapest(state, kept);
    refitWithout(place, state, kept);
    cut.push(at[place] as number);
    at[place] = at[kept - 1] as number;
    takeLast(place, state, kept);
  }
  return cut.reverse();
}

/** Of the covariance: means go into the bias. */
function dampedInverse(
  { count, sum, gram }: Pick<Moments, 'count' | 'sum' | 'gram'>,
  n: number,
): Float64Array {
  const covariance = new Float64Array(n * n);
  const identity = new Float64Array(n * n);
  let trace = 0;
  for (let i = 0; i < n; i++) {
    const mean = (sum[i] as number) / count;
    for (let j = 0; j < n; j++)
      covariance[i * n + j] = (gram[i * n + j] as number) / count - (mean * (sum[j] as number)) / count;
    trace += covariance[i * n + i] as number;
    identity[i * n + i] = 1;
  }
  const lift = trace > 0 ? (DAMPING * trace) / n : 1;
  return dampedSolve(covariance, identity, n, lift, n);
}

/** [units, dOut] */
function byUnit({ rows, cols, data }: UnitMatrix): Float64Array {
  const turned = new Float64Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let unit = 0; unit < cols; unit++) turned[unit * rows + row] = data[row * cols + unit] as number;
  return turned;
}

function cheapest({ inverse, rows, units: n, width }: Elimination, kept: number): number {
  let [place, least] = [0, Number.POSITIVE_INFINITY];
  for (let j = 0; j < kept; j++) {
    let norm = 0;
    for (let i = j * width; i < (j + 1) * width; i++) norm += (rows[i] as number) ** 2;
    const cost = norm / (inverse[j * n + j] as number);
    if (cost < least) [place, least] = [j, cost];
  }
  return place;
}

/** What the unit gave goes to those that tell it, and the inverse becomes that of the covariance without it. */
function refitWithout(place: number, { inverse, rows, units: n, width }: Elimination, kept: number): void {
  const pivot = inverse[place * n + place] as number;
  const column = inverse.slice(place * n, place * n + kept);
  const gone = rows.slice(place * width, (place + 1) * width);
  for (let i = 0; i < kept; i++) {
    const share = (column[i] as number) / pivot;
    if (share === 0 || i === place) continue;
    for (let j = 0; j < width; j++)
      rows[i * width + j] = (rows[i * width + j] as number) - share * (gone[j] as number);
    for (let j = 0; j < kept; j++)
      inverse[i * n + j] = (inverse[i * n + j] as number) - share * (column[j] as number);
  }
}

/** The last of those that are kept moves to where one has gone. */
function takeLast(place: number, { inverse, rows, units: n, width }: Elimination, kept: number): void {
  const last = kept - 1;
  if (place === last) return;
  rows.copyWithin(place * width, last * width, kept * width);
  inverse.copyWithin(place * n, last * n, last * n + kept);
  for (let i = 0; i < kept; i++) inverse[i * n + place] = inverse[i * n + last] as number;
}
