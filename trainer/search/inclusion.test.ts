import { describe, expect, test } from 'vitest';
import {
  couplingAt,
  defaultInclusion,
  inclusionStep,
  initialState,
  pathOrder,
  quantile,
  supportShare,
  type UnitScales,
} from './inclusion.ts';

/** A separable quadratic with curvature h_j and its minimum at M = 1: the inclusion's path is known in closed form. */
function runOnQuadratic(scales: UnitScales, steps: number) {
  const options = { ...defaultInclusion, steps };
  let state = initialState(scales.curvature.length);
  while (state.step < steps) {
    const gradient = scales.curvature.map((h, j) => h * (state.masks[j]! - 1));
    state = inclusionStep(state, gradient, scales, options);
  }
  return state;
}

describe('differential inclusion', () => {
  test('orders units by need per cost over six decades of curvature', () => {
    const curvature = Float64Array.from({ length: 40 }, (_, j) => 10 ** (-6 + (6 * ((j * 17) % 40)) / 39));
    const cost = Float64Array.from({ length: 40 }, (_, j) => (j % 2 === 0 ? 1 : 3));
    const order = pathOrder(runOnQuadratic({ curvature, cost }, 300));
    const need = (j: number) => curvature[j]! / cost[j]!;
    const wanted = Array.from(curvature.keys()).sort((a, b) => need(b) - need(a));
    expect(order).toEqual(wanted);
  });

  test('one fixed coupling cannot tell apart what annealing can', () => {
    const curvature = Float64Array.from({ length: 30 }, (_, j) => 10 ** (-6 + j / 5));
    const cost = new Float64Array(30).fill(1);
    const spread = (quantiles: readonly [number, number]) => {
      const options = { ...defaultInclusion, steps: 200, couplingQuantiles: quantiles };
      let state = initialState(30);
      while (state.step < 200) {
        state = inclusionStep(
          state,
          curvature.map((h, j) => h * (state.masks[j]! - 1)),
          { curvature, cost },
          options,
        );
      }
      // How far apart the three neediest units stand on the path.
      return state.entry[27]! - state.entry[29]!;
    };
    expect(spread([0.99, 0.3])).toBeGreaterThan(100 * Math.abs(spread([0.1, 0.1])));
  });

  test('masks settle at h / (h + c) while nothing has entered', () => {
    const scales = { curvature: Float64Array.of(4, 1), cost: Float64Array.of(1, 1) };
    const options = { ...defaultInclusion, steps: 1000, couplingQuantiles: [0, 0] as const };
    let state = initialState(2);
    while (state.step < 400) {
      state = inclusionStep(
        state,
        scales.curvature.map((h, j) => h * (state.masks[j]! - 1)),
        scales,
        options,
      );
    }
    expect(state.masks[0]).toBeCloseTo(4 / 5, 9);
    expect(state.masks[1]).toBeCloseTo(1 / 2, 9);
    expect(supportShare(state)).toBe(0);
  });

  test('a unit at full rate enters at half time, and Gamma then follows it', () => {
    const scales = { curvature: Float64Array.of(1e9, 1), cost: Float64Array.of(1, 1) };
    const options = { ...defaultInclusion, steps: 100, couplingQuantiles: [0, 0] as const };
    let state = initialState(2);
    while (state.step < 100) {
      state = inclusionStep(
        state,
        scales.curvature.map((h, j) => h * (state.masks[j]! - 1)),
        scales,
        options,
      );
    }
    expect(state.entry[0]).toBeCloseTo(50, 3);
    expect(state.gamma[0]).toBeGreaterThan(0.9);
  });

  test('a gradient that is not finite stops with the unit and the step', () => {
    const scales = { curvature: Float64Array.of(1), cost: Float64Array.of(1) };
    expect(() =>
      inclusionStep(initialState(1), Float64Array.of(Number.NaN), scales, defaultInclusion),
    ).toThrow(/unit 0 .* step 0/);
  });

  test('the coupling falls from the first quantile to the last', () => {
    const scales = { curvature: Float64Array.of(1, 10, 100), cost: Float64Array.of(1, 1, 1) };
    const options = { ...defaultInclusion, steps: 11, couplingQuantiles: [1, 0] as const };
    expect(couplingAt(0, scales, options)).toBeCloseTo(100, 9);
    expect(couplingAt(5, scales, options)).toBeCloseTo(10, 9);
    expect(couplingAt(10, scales, options)).toBeCloseTo(1, 9);
  });

  test('quantiles interpolate', () => {
    expect(quantile([0, 10], 0.25)).toBe(2.5);
    expect(quantile([3], 0.9)).toBe(3);
  });
});
