import { expect, test } from 'vitest';
import { type BuildSizes, type PlanRequest, planMemory } from './memory-plan.ts';

const GIB = 2 ** 30;

/** A decoder of so many bytes, a third of which are output matrices. */
const sizes = (weights: number): BuildSizes => ({
  weights,
  trainable: { all: weights, pairs: 0.8 * weights },
  own: { all: 16 * (weights / 3), pairs: 16 * (weights / 3) },
  ownAll: { all: 6 * weights, pairs: 6 * weights },
  workers: 2,
  machine: 24 * GIB,
});
const auto: PlanRequest = { recovers: true, compensates: true, train: 'auto', microBatch: 32 };

test('a small model is recovered by level, or as one set where levels do not fit, and nothing is said', () => {
  expect(planMemory(sizes(0.1 * GIB), auto)).toMatchObject({ train: 'all', byLevel: true, notes: [] });
  expect(planMemory(sizes(1 * GIB), auto)).toMatchObject({ train: 'all', byLevel: false, notes: [] });
  expect(planMemory(sizes(0.1 * GIB), { ...auto, compensates: false }).byLevel).toBe(false);
});

test('levels begin in one way where two at once would not fit', () => {
  expect(planMemory(sizes(0.1 * GIB), auto).twoBeginnings).toBe(true);
  expect(planMemory(sizes(0.2 * GIB), auto)).toMatchObject({ byLevel: true, twoBeginnings: false });
  expect(planMemory(sizes(1 * GIB), auto).twoBeginnings).toBe(false);
});

test('over 2 GB a build stays below twice the weights: recovery trains what fits, and that is said', () => {
  const plan = planMemory(sizes(4 * GIB), auto);
  expect(plan).toMatchObject({ budget: 8 * GIB, train: 'vectors', byLevel: true });
  expect(plan.notes).toEqual([
    expect.stringContaining('stay below 8.0 GiB'),
    expect.stringMatching(/every weight takes about 32\.0 GiB.*--recover-weights all/),
  ]);
  expect(planMemory(sizes(4 * GIB), { ...auto, recovers: false }).notes).toHaveLength(1);
});

test('what is asked for is done, and its price said', () => {
  const plan = planMemory(sizes(4 * GIB), { ...auto, train: 'all' });
  expect(plan).toMatchObject({ train: 'all', byLevel: false });
  expect(plan.notes.at(-1)).toContain('it was asked for');
});

test('of a large model a worker computes as many examples at once as fit', () => {
  const plan = planMemory({ ...sizes(4 * GIB), activations: GIB / 4 }, auto);
  expect(plan.microBatch).toBe(4);
  expect(plan.notes.at(-1)).toContain("4 of a step's examples at once");
  expect(planMemory({ ...sizes(4 * GIB), activations: 9 * GIB }, auto).microBatch).toBe(1);
  expect(planMemory({ ...sizes(4 * GIB), activations: 2 ** 20 }, auto).microBatch).toBeUndefined();
});

test('no build plans on more than most of the machine', () => {
  expect(planMemory({ ...sizes(20 * GIB) }, auto).budget).toBe(18 * GIB);
});
