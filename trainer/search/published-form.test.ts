import { expect, test } from 'vitest';
import { initialState, pathOrder } from './inclusion.ts';
import { publishedForm, publishedStep, resumedPublished } from './published-form.ts';

test('moves masks as Adam does and lets units enter at lambda over kappa times the learning rate', () => {
  let state = resumedPublished(initialState(2));
  for (let step = 0; step < 200; step++)
    state = publishedStep(state, Float64Array.of(0, step % 2 === 0 ? 1 : 2), publishedForm);
  // Mask 0 has no gradient and stays 1, so V grows by 0.02 a step and crosses 3 at step 150.
  expect(state.masks[0]).toBe(1);
  expect(state.entry[0]).toBeCloseTo(150, 6);
  // Adam's step is the learning rate whatever the gradient's size: mask 1 falls by about 1e-3 a step.
  expect(state.masks[1]).toBeCloseTo(0.8, 1);
  expect(pathOrder(state)).toEqual([0, 1]);
});

test('stops at a gradient that is not finite', () => {
  const state = resumedPublished(initialState(1));
  expect(() => publishedStep(state, Float64Array.of(Number.NaN), publishedForm)).toThrow(/unit 0 .* step 0/);
});
