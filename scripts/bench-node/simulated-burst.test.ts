import { describe, expect, test } from 'vitest';
import { dayShape, gammaArrivals, uniforms } from './arrivals.ts';
import { evenShares, madeUpQuality } from './random-vit.ts';
import { type SimulatedMachine, simulateBurst } from './simulated-burst.ts';

const shares = evenShares(12, 0.1);
const dense = shares.length - 1;
const runMs = (level: number, rows: number) => 0.3 + 2.6 * (0.12 + 0.88 * (shares[level] ?? 1)) * rows;
/** Two threads on two cores, which the main thread and the client want too. */
const machine = (noise: number, disturbed: Partial<SimulatedMachine>): SimulatedMachine => ({
  ...disturbed,
  ...{ threads: 2, cores: 2, sliceMs: 3, yields: true },
  ...{ maxRows: 8, runMs, noise },
  ...{ readMs: 0.15, answerMs: 0.13, clientMs: 0.08 },
});
/** Requests a second that a level holds in whole batches. */
const capacity = (level: number, noise: number) =>
  2000 / ((runMs(level, 8) * (1 + noise / 2)) / 8 + 0.15 + 0.13 + 0.08);
const anyLevel = { level: dense, minLevel: 0 };
const only = (level: number) => ({ level, minLevel: level });

/** Each of three budgets as often. */
function outcomeOf(
  atMs: readonly number[],
  policy: { level: number; minLevel: number },
  noise: number,
  { budgets = [3, 6, 12], ...disturbed }: Partial<SimulatedMachine> & { readonly budgets?: number[] } = {},
) {
  const uniform = uniforms(7);
  const arrivals = atMs.map((at) => ({
    ...policy,
    atMs: at,
    budgetMs: budgets[Math.floor(uniform() * budgets.length)]! * runMs(dense, 1) * (1 + noise / 2),
  }));
  const kept = simulateBurst(machine(noise, disturbed), arrivals).filter(({ inTime }) => inTime);
  return {
    attained: kept.length / arrivals.length,
    quality: kept.reduce((sum, { level }) => sum + madeUpQuality(shares[level] ?? 1), 0) / kept.length,
  };
}

describe('levels chosen as load comes, in simulated time', () => {
  test.each([1, 4, 8])(
    'keep deadlines at a quality above the best level that keeps as many, gaps of CV^2 %i',
    (cv2) => {
      // More than the dense level holds by 30 %.
      const atMs = gammaArrivals(cv2, 1.3 * capacity(dense, 0.5), cv2, 3);
      const ours = outcomeOf(atMs, anyLevel, 0.5);
      expect(ours.attained).toBeGreaterThanOrEqual(0.999);
      // Levels keep the fewer the denser they are.
      const better = shares.findIndex((share) => madeUpQuality(share) >= ours.quality);
      expect(outcomeOf(atMs, only(better), 0.5).attained).toBeLessThan(ours.attained);
      expect(outcomeOf(atMs, only(dense), 0.5).attained).toBeLessThan(0.9);
    },
  );

  test('keep deadlines over a day whose peak the sparsest level can just hold, with runs that vary by a factor of two', () => {
    const day = gammaArrivals(11, 1.3 * capacity(dense, 1), 2, 20, dayShape);
    const ours = outcomeOf(day, anyLevel, 1);
    const sparsest = outcomeOf(day, only(0), 1);
    expect(sparsest.attained).toBeGreaterThanOrEqual(0.999);
    expect(ours.attained).toBeGreaterThanOrEqual(0.999);
    expect(ours.quality).toBeGreaterThan(sparsest.quality);
  });

  test('keep deadlines beside other work that runs meet with now and then', () => {
    // Budgets with time for a burst and for a piece of the other work.
    const load = [gammaArrivals(8, 1.3 * capacity(dense, 0.5), 8, 5), anyLevel, 0.5] as const;
    const ours = outcomeOf(...load, { budgets: [8, 16, 32], others: 0.6 });
    expect(ours.attained).toBeGreaterThanOrEqual(0.998);
    expect(ours.quality).toBeGreaterThan(madeUpQuality(shares[1] ?? 1));
  });

  test('keep deadlines on a machine that is slow for a while now and then', () => {
    // 80 ms of each second, not always at the same time.
    const slowness = (atMs: number) => ((atMs + 370 * Math.floor(atMs / 1000)) % 1000 < 80 ? 2.5 : 1);
    const options = { budgets: [5, 10, 20], slowness };
    const ours = [0, 10, 20, 30].map((seed) =>
      outcomeOf(gammaArrivals(8 + seed, 0.9 * capacity(dense, 0.5), 8, 6), anyLevel, 0.5, options),
    );
    const attained = ours.reduce((sum, one) => sum + one.attained / ours.length, 0);
    expect(attained).toBeGreaterThanOrEqual(0.999);
    for (const { quality } of ours) expect(quality).toBeGreaterThan(madeUpQuality(shares[2] ?? 1));
  });

  test.each([1, 4, 8])(
    'have grown bold within seconds where nobody comes close to being late, gaps of CV^2 %i',
    (cv2) => {
      const atMs = gammaArrivals(cv2, 1.3 * capacity(dense, 0.5), cv2, 10);
      const ours = outcomeOf(atMs, anyLevel, 0.5, { budgets: [5, 10, 20] });
      expect(ours.attained).toBeGreaterThanOrEqual(0.999);
      const better = shares.findIndex((share) => madeUpQuality(share) >= ours.quality);
      expect(outcomeOf(atMs, only(better), 0.5, { budgets: [5, 10, 20] }).attained).toBeLessThan(
        ours.attained,
      );
    },
  );

  test('are no sparser for long after the machine stood still, which no level makes good', () => {
    const load = gammaArrivals(54, 1.3 * capacity(dense, 0.5), 4, 4);
    const disturbed = { budgets: [6, 12, 24], stalls: 0.5, seed: 50 };
    const ours = outcomeOf(load, anyLevel, 0.5, disturbed);
    expect(ours.attained).toBeGreaterThanOrEqual(outcomeOf(load, only(0), 0.5, disturbed).attained);
    expect(ours.quality).toBeGreaterThan(madeUpQuality(shares[1] ?? 1));
  });

  test('go on serving nearly what the sparsest level holds where half as much again comes', () => {
    const held = capacity(0, 0.5);
    const { attained } = outcomeOf(gammaArrivals(3, 1.5 * held, 1, 3), anyLevel, 0.5);
    expect(1.5 * attained).toBeGreaterThan(0.7);
  });
});
