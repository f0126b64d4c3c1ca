/**
 * The inclusion as the paper's code runs it (SPP, ICLR 2025), for comparison: Adam on the masks with the loss alone (no
 * coupling, nu = infinity), V <- V + lr kappa (M - G), G <- max(0, V - lambda), with lambda = 3 and kappa = 20.
 */
import { assertFinite, type InclusionState } from './inclusion.ts';

export interface PublishedOptions {
  readonly steps: number;
  readonly learningRate: number;
  readonly kappa: number;
  readonly lambda: number;
}

export const publishedForm: PublishedOptions = { steps: 200, learningRate: 1e-3, kappa: 20, lambda: 3 };

/** Adam's running moments of the gradient, beside the inclusion's own state. */
export interface PublishedState extends InclusionState {
  readonly first: Float64Array;
  readonly second: Float64Array;
}

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

/** A state as it starts or was written down, with Adam's moments. */
export function resumedPublished(state: InclusionState & Partial<PublishedState>): PublishedState {
  const units = state.masks.length;
  return {
    ...state,
    first: state.first ?? new Float64Array(units),
    second: state.second ?? new Float64Array(units),
  };
}

/** @param gradient dL/dM at `state.masks`, [units]. @throws `numerical-failure` when one is not finite */
export function publishedStep(
  state: PublishedState,
  gradient: Float64Array,
  { learningRate, kappa, lambda }: PublishedOptions,
): PublishedState {
  assertFinite(gradient, `at step ${state.step}`);
  const step = state.step + 1;
  const first = state.first.map((m, j) => BETA1 * m + (1 - BETA1) * (gradient[j] as number));
  const second = state.second.map((v, j) => BETA2 * v + (1 - BETA2) * (gradient[j] as number) ** 2);
  const masks = state.masks.map((m, j) => {
    const mean = (first[j] as number) / (1 - BETA1 ** step);
    const scale = Math.sqrt((second[j] as number) / (1 - BETA2 ** step)) + EPSILON;
    return m - (learningRate * mean) / scale;
  });
  const dual = state.dual.map(
    (v, j) => v + learningRate * kappa * ((masks[j] as number) - (state.gamma[j] as number)),
  );
  const entry = state.entry.map((time, j) => {
    const [before, after] = [state.dual[j] as number, dual[j] as number];
    return time === Number.POSITIVE_INFINITY && after > lambda
      ? state.step + (lambda - before) / (after - before)
      : time;
  });
  return { step, masks, dual, gamma: dual.map((v) => Math.max(0, v - lambda)), entry, first, second };
}
