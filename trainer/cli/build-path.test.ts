import { expect, test } from 'vitest';
import { publishedForm } from '../search/published-form.ts';
import { parseOptions } from './build-path.ts';

test('the published form takes as many steps as its units need to enter, unless it is told how many', () => {
  const stepsOf = (flags: Record<string, unknown>) =>
    parseOptions('model.onnx', { data: 'mnist', align: '1', recover: 'auto', ...flags }, {}).steps;
  expect(stepsOf({ search: 'published' })).toBe(publishedForm.steps);
  // At M = 1, V grows by rate times kappa a step, and a unit enters at lambda.
  const { lambda, learningRate, kappa, steps } = publishedForm;
  expect(lambda / (learningRate * kappa)).toBeLessThan(steps);
  expect(stepsOf({ search: 'published', steps: '40' })).toBe(40);
  expect(stepsOf({ search: 'inclusion' })).toBe(120);
});
