import { expect, test } from 'vitest';
import { randomSource } from '../search/random.ts';
import { adamStart, adamStep, rateAt, stepSizes } from './adam.ts';
import { drawByLoss, drawLevels, nestedDraw, stepCost } from './draw-levels.ts';
import { levelDraw, need, rateShares, recoverySteps, settledDraw, stepsWithTrial } from './plan.ts';

test('a first step moves every entry by the rate times its size, against the gradient', () => {
  const weights = new Map([['w', Float32Array.of(1, -1, 1)]]);
  const gradients = new Map([['w', Float32Array.of(1e-3, -5, 0)]]);
  adamStep(weights, gradients, new Map([['w', 0.5]]), adamStart(weights), 0.1);
  const [a, b, c] = weights.get('w')!;
  expect(a).toBeCloseTo(0.95, 6);
  expect(b).toBeCloseTo(-0.95, 6);
  expect(c).toBe(1);
});

test('finds the minimum of a badly scaled quadratic', () => {
  const weights = new Map([['w', Float32Array.of(1, 1)]]);
  let state = adamStart(weights);
  for (let step = 0; step < 400; step++) {
    const [x, y] = weights.get('w')! as unknown as [number, number];
    const gradients = new Map([['w', Float32Array.of(1000 * x, 0.001 * (y + 1))]]);
    state = adamStep(weights, gradients, new Map([['w', 1]]), state, rateAt(step, 400, 0.05));
  }
  const [x, y] = weights.get('w')!;
  expect(Math.abs(x!)).toBeLessThan(0.02);
  expect(Math.abs(y! + 1)).toBeLessThan(0.02);
});

test('sizes follow a matrix, stay at the typical for large vectors and are never nothing', () => {
  const sizes = stepSizes(
    new Map([
      ['matrix', new Float32Array(1000).fill(0.1)],
      ['scale', new Float32Array(10).fill(1)],
      ['zero', new Float32Array(10)],
    ]),
  );
  const typical = Math.sqrt((1000 * 0.01 + 10) / 1020);
  expect(sizes.get('matrix')).toBeCloseTo(0.1, 6);
  expect(sizes.get('scale')).toBeCloseTo(typical, 6);
  expect(sizes.get('zero')).toBeCloseTo(typical / 10, 6);
});

test('the rate warms up, peaks and ends near nothing', () => {
  const rates = Array.from({ length: 100 }, (_, step) => rateAt(step, 100, 1));
  expect(rates[0]).toBeCloseTo(0.2, 9);
  expect(Math.max(...rates)).toBe(1);
  expect(rates.at(-1)).toBeLessThan(0.001);
});

test('every step has the sparsest and the dense level, and draws all others alike', () => {
  const counts = new Array<number>(6).fill(0);
  for (let step = 0; step < 400; step++) {
    const levels = drawLevels(randomSource(0, 96, step), 6, 1);
    expect(levels.length).toBe(3);
    for (const level of levels) counts[level]!++;
  }
  expect([counts[0], counts[5]]).toEqual([400, 400]);
  for (const count of counts.slice(1, 5)) expect(count).toBeGreaterThan(60);
  expect(drawLevels(randomSource(0, 96, 0), 1, 1)).toEqual([0]);
  expect(drawLevels(randomSource(0, 96, 0), 2, 1)).toEqual([0, 1]);
});

test('levels that are far from the dense model are drawn more often, and none is forgotten', () => {
  const counts = new Array<number>(6).fill(0);
  const losses = [4, 1, 0.25, 1e-6, Number.NaN, 0];
  const rates = [1, 1, 0.5, 0.5, 0.1, 0];
  for (let step = 0; step < 400; step++) {
    const levels = drawByLoss(randomSource(0, 96, step), losses, rates, { always: 1, between: 2 });
    expect(new Set(levels).size).toBe(3);
    for (const level of levels) counts[level]!++;
  }
  expect([counts[0], counts[5]]).toEqual([400, 0]);
  expect(counts[4]).toBeGreaterThan(counts[1]!);
  expect(counts[1]).toBeGreaterThan(counts[2]!);
  expect(counts[2]).toBeGreaterThan(counts[3]!);
  expect(counts[3]).toBeGreaterThan(60);
  const drawn = (of: readonly number[], always: number) =>
    drawByLoss(randomSource(0, 96, 0), losses, of, { always, between: 1 });
  expect(drawn(rates, 4)).toEqual([0, 1, 2, 3, 4]);
  expect(drawn([1, 0, 1, 0, 0, 0], 3)).toEqual([0, 2]);
  expect(drawn([0], 0)).toEqual([]);
});

test('the sparsest levels that together are less than two dense models are trained in every step', () => {
  expect(levelDraw([0.1, 0.2, 0.3, 0.4, 0.5, 1])).toEqual({ always: 4, whereFar: 1, between: 2 });
  expect(levelDraw([0.05, 0.1, 0.2, 0.3, 0.41, 0.5, 1])).toEqual({ always: 5, whereFar: 1, between: 2 });
  expect(levelDraw([0.25, 0.5, 1])).toEqual({ always: 2, between: 2 });
  expect(levelDraw([0.25, 0.3, 0.35, 0.4, 1])).toEqual({ always: 3, whereFar: 1, between: 2 });
  expect(levelDraw([0.3, 0.5, 0.7, 0.9, 1])).toEqual({ always: 2, whereFar: 1, between: 2 });
  expect(levelDraw([0.9, 0.95, 1])).toEqual({ always: 1, between: 2 });
  expect(levelDraw([1])).toEqual({ always: 0, between: 2 });
});

test('levels that begin near the dense model share, though there is room for them to own all', () => {
  const draw = { always: 1, whereFar: 2, between: 1 };
  const settled = (...losses: (number | undefined)[]) => settledDraw(draw, losses).always;
  expect(settled(0.001, 0.3, 0.1, 0)).toBe(3);
  expect(settled(0.5, 0.3, 0.005, 0)).toBe(2);
  expect(settled(0.5, 0.005, 0.3, 0)).toBe(1);
  expect(settled(undefined, undefined, undefined, undefined)).toBe(3);
  expect(settledDraw({ always: 2, between: 1 }, [0.5, 0.5, 0.5])).toEqual({ always: 2, between: 1 });
});

test('a step costs its levels, and a budget of epochs bounds the steps', () => {
  expect(stepCost([0.1, 0.4, 0.6, 1], { always: 1, between: 1 })).toBeCloseTo(0.6, 9);
  expect(stepCost([0.1, 0.4, 0.6, 1], { always: 2, between: 1 })).toBeCloseTo(1.1, 9);
  expect(stepCost([0.1, 0.4, 0.6, 1], { always: 1, whereFar: 1, between: 1 })).toBeCloseTo(1.1, 9);
  expect(stepCost([0.1, 0.4, 0.6, 1], nestedDraw)).toBeCloseTo(2.1, 9);
  expect(stepCost([1], { always: 0, between: 1 })).toBe(0);
  const model = { examples: 1600, batch: 10, shares: [0.1, 0.4, 0.6, 1] };
  const after = (searched: number) => recoverySteps('auto', { ...model, searched });
  // A step costs 1.1 and the dense answers: 2.5 epochs at most, what is left of three, one in any case.
  expect([0.1, 0.5, 1, 1.8, 5].map(after)).toEqual([279, 279, 223, 133, 111]);
  expect(recoverySteps('off', { ...model, searched: 1 })).toBe(0);
  expect(recoverySteps(7, { ...model, searched: 1 })).toBe(7);
});

test('steps from two beginnings are paid for by fewer steps', () => {
  const shares = [0.1, 0.4, 0.6, 1];
  const draw = { always: 2, between: 1 };
  expect(stepsWithTrial(100, shares, draw, [])).toBe(100);
  // A step costs 1.1 and the dense answers; for a quarter of the steps, 0.5 more.
  expect(stepsWithTrial(100, shares, draw, [0, 1])).toBe(Math.floor(100 / (1 + 0.125 / (1.1 + 1 / 3))));
  expect(stepsWithTrial(1, shares, draw, [0, 1])).toBe(1);
  expect(stepsWithTrial(0, shares, draw, [0])).toBe(0);
});

test('what recovery has to do follows the level that is farthest from the dense model', () => {
  expect(need([0.4, 0.01, 0])).toBe(1);
  expect(need([0.05, 0.01, 0])).toBeCloseTo(0.5, 9);
  expect(need([0, 0])).toBe(0);
});

test('a level’s steps are as large as it is far; who is near enough takes none, nor does the dense one', () => {
  expect(rateShares([0.4, 0.02, 0.005, 0.0004, undefined])).toEqual([1, 1, 0.5, 0, 0]);
  expect(rateShares([undefined, undefined])).toEqual([1, 0]);
});
