/**
 * Adam (Kingma and Ba, 2015) on named arrays, in place, with steps relative to the size of what is moved: one rate then
 * fits models of every width, because weights shrink with it.
 */
import { type Arrays, zerosLike } from './named-arrays.ts';

export interface AdamState {
  readonly step: number;
  /** Running means of gradients and of their squares. */
  readonly first: Arrays;
  readonly second: Arrays;
}

const [BETA1, BETA2, EPSILON] = [0.9, 0.99, 1e-12];
/** Of the typical size: vectors that start at zero move by at least this. */
const LEAST_SIZE = 0.1;

/** Before the first step: both running means are 0. */
export function adamStart(weights: Arrays): AdamState {
  return { step: 0, first: zerosLike(weights), second: zerosLike(weights) };
}

/**
 * How far a step at rate 1 moves each tensor's entries: their root mean square, at most the root mean square of all entries
 * (scales of normalisations are near 1 and need no larger steps than matrices), at least a tenth of it.
 */
export function stepSizes(weights: Arrays): Map<string, number> {
  const squares = (values: Float32Array) => values.reduce((sum, x) => sum + x * x, 0);
  const count = [...weights.values()].reduce((sum, { length }) => sum + length, 0);
  const typical = Math.sqrt([...weights.values()].reduce((sum, values) => sum + squares(values), 0) / count);
  return new Map(
    [...weights].map(([name, values]) => {
      const own = Math.sqrt(squares(values) / values.length);
      return [name, Math.min(typical, Math.max(LEAST_SIZE * typical, own))];
    }),
  );
}

/** Moves `weights` in place, and the state's arrays with them. @param rate share of `sizes` that a settled step moves */
export function adamStep(
  weights: Arrays,
  gradients: Arrays,
  sizes: ReadonlyMap<string, number>,
  state: AdamState,
  rate: number,
): AdamState {
  const step = state.step + 1;
  const [unbias1, unbias2] = [1 - BETA1 ** step, 1 - BETA2 ** step];
  for (const [name, values] of weights) {
    const [gradient, first, second] = [gradients, state.first, state.second].map((all) => all.get(name));
    if (gradient === undefined || first === undefined || second === undefined) continue;
    const size = rate * (sizes.get(name) ?? 0);
    for (let i = 0; i < values.length; i++) {
      const g = gradient[i] as number;
      const m = BETA1 * (first[i] as number) + (1 - BETA1) * g;
      const v = BETA2 * (second[i] as number) + (1 - BETA2) * g * g;
      first[i] = m;
      second[i] = v;
      values[i] = (values[i] as number) - (size * (m / unbias1)) / (Math.sqrt(v / unbias2) + EPSILON);
    }
  }
  return { ...state, step };
}

/** Linear warm-up over a twentieth of the run, then half a cosine down to zero. */
export function rateAt(step: number, steps: number, peak: number): number {
  const warmUp = Math.max(1, Math.floor(steps / 20));
  if (step < warmUp) return (peak * (step + 1)) / warmUp;
  return (peak / 2) * (1 + Math.cos((Math.PI * (step - warmUp)) / Math.max(1, steps - warmUp)));
}
