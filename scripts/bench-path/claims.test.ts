import { expect, test } from 'vitest';
import { type ClaimScene, claimsOf } from './claims.ts';
import type { Cell, SummaryRow } from './summary.ts';

const cell = (mean: number): Cell => {
  return {
    mean,
    halfInterval: 0.4,
    deviation: 0.1,
    seeds: 3,
    values: { 0: mean, 1: mean - 0.1, 2: mean + 0.1 },
  };
};
const row = (reachable: number, values: Readonly<Record<string, number>>): SummaryRow => ({
  reachable,
  flops: reachable,
  params: reachable,
  cells: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, cell(value)])),
});

const scene: ClaimScene = {
  rows: [
    row(1, { random: 97, ours: 97, joint: 97, each: 97 }),
    row(0.5, { random: 60, ours: 96.8, joint: 96.9, each: 97 }),
    row(0.1, { random: 10, ours: 80, joint: 90, each: 94 }),
  ],
  metric: { better: 'higher', digits: 2, near: () => 0.3 },
  halfLoss: () => 0.3,
  methods: {
    random: { label: 'random' },
    ours: { label: 'ours', ours: true },
    joint: { label: 'joint', ours: true, training: 'joint' },
    each: { label: 'each', training: 'each' },
  },
  epochs: { joint: 2.5 },
};
const held = (changed: Partial<ClaimScene>) =>
  Object.fromEntries(claimsOf({ ...scene, ...changed }).map(({ claim, holds }) => [claim, holds]));

test('each claim is judged where it is nearest to failing', () => {
  expect(claimsOf(scene)).toContainEqual({
    claim: 'joint: as near as wanted to levels trained apart for as long',
    holds: false,
    figures: '90.00 beside 94.00 (each) at 10 %',
  });
  expect(held({})).toMatchObject({
    'without training: best, or within the noise of the best': true,
    'without training: at 50 % at most 0.30 worse than dense': true,
    'ours: never falls from a sparser to a denser level by more than noise': true,
    'joint: the whole path costs at most 3 epochs': true,
  });
});

test('each way of joint recovery has its own cost', () => {
  const methods = { ...scene.methods, own: { label: 'own', ours: true, training: 'joint' } } as const;
  expect(held({ methods, epochs: { joint: 2.5, own: 3.1 } })).toMatchObject({
    'joint: the whole path costs at most 3 epochs': true,
    'own: the whole path costs at most 3 epochs': false,
  });
});

test('noise is no failure, more than noise is', () => {
  const beaten = (random: number) => ({ rows: [row(0.5, { random, ours: 96.8 })] });
  expect(held(beaten(97.1))['without training: best, or within the noise of the best']).toBe(true);
  expect(held(beaten(97.4))['without training: best, or within the noise of the best']).toBe(false);
});

test('what fewer seeds were tried on is compared on these', () => {
  const few = (mean: number): Cell => ({ ...cell(mean), deviation: 0, seeds: 1, values: { 1: mean } });
  const beside = (each: Cell) => {
    const [half] = [row(0.5, { joint: 96.9 })];
    const rows = [{ ...(half as SummaryRow), cells: { ...half?.cells, each } }];
    return claimsOf({ ...scene, rows, metric: { ...scene.metric, near: () => 0 } })[0];
  };
  // The joint run's seed 1 has 96.8.
  expect(beside(few(96.79))).toMatchObject({ holds: true, figures: '96.80 beside 96.79 (each) at 50 %' });
  expect(beside(few(96.85))).toMatchObject({ holds: false });
  expect(beside({ ...few(96.85), values: { 7: 96.85 } })).toMatchObject({ holds: true });
});

test('a joint run is held to the dense model as it was', () => {
  const rows = [row(1, { ours: 97, joint: 96 }), row(0.5, { ours: 96, joint: 96.6 })];
  expect(held({ rows })).toMatchObject({
    'without training: at 50 % at most 0.30 worse than dense': false,
    'joint: at 50 % at most 0.30 worse than dense': false,
  });
});

test('of perplexities the lower is the better', () => {
  const rows = [row(1, { ours: 5 }), row(0.5, { ours: 5.1 }), row(0.1, { ours: 4 })];
  const lower = {
    rows,
    metric: { better: 'lower' as const, digits: 1, near: () => 0 },
    halfLoss: () => 0.05,
  };
  expect(held(lower)).toMatchObject({
    'without training: at 50 % at most 0.1 worse than dense': false,
    'ours: never falls from a sparser to a denser level by more than noise': false,
  });
});

test('what was not measured is not claimed', () => {
  expect(claimsOf({ ...scene, rows: [row(0.5, { random: 1 })], epochs: {} })).toEqual([]);
});
