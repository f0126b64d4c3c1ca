import { describe, expect, test } from 'vitest';
import { dayShape, gammaArrivals, uniforms } from './arrivals.ts';
import { evenShares, madeUpQuality } from './random-vit.ts';
import { simulateBurst } from './simulated-burst.ts';

const shares = evenShares(12, 0.1);
const dense = shares.length - 1;
const runMs = (level: number, rows: number) =>
  0.3 + 4 * (0.2 + 0.8 * (shares[level] ?? 1)) * (0.15 + 0.85 * rows);
const machine = { threads: 2, maxRows: 8, runMs };
/** More than the dense level holds by 30 %, each of three budgets as often. */
const ratePerS = (1.3 * 2 * 8000) / (runMs(dense, 8) * 1.25);

function bursts(cv2: number, policy: { level: number; minLevel: number }) {
  return outcomeOf(gammaArrivals(cv2, ratePerS, cv2, 4), policy, 0.5);
}

function outcomeOf(atMs: readonly number[], policy: { level: number; minLevel: number }, noise: number) {
  const uniform = uniforms(7);
  const arrivals = atMs.map((at) => ({
    ...policy,
    atMs: at,
    budgetMs: [3, 6, 12][Math.floor(uniform() * 3)]! * runMs(dense, 1) * (1 + noise / 2),
  }));
  const kept = simulateBurst({ ...machine, noise }, arrivals).filter(({ inTime }) => inTime);
  return {
    attained: kept.length / arrivals.length,
    quality: kept.reduce((sum, { level }) => sum + madeUpQuality(shares[level] ?? 1), 0) / kept.length,
  };
}

describe('levels chosen as load comes, in simulated time', () => {
  test.each([1, 4, 8])(
    'keep deadlines at a quality above the best level that keeps as many, gaps of CV^2 %i',
    (cv2) => {
      const ours = bursts(cv2, { level: dense, minLevel: 0 });
      expect(ours.attained).toBeGreaterThanOrEqual(0.999);
      const rivals = shares.map((_, level) => bursts(cv2, { level, minLevel: level }));
      const best = Math.max(
        ...rivals.filter(({ attained }) => attained >= ours.attained).map(({ quality }) => quality),
      );
      expect(ours.quality).toBeGreaterThan(best);
      expect(bursts(cv2, { level: dense, minLevel: dense }).attained).toBeLessThan(0.9);
    },
  );

  test('keep deadlines over a day whose peak the sparsest level can just hold, with runs that vary by a factor of two', () => {
    const day = gammaArrivals(11, (1.3 * 2 * 8000) / (runMs(dense, 8) * 1.5), 2, 40, dayShape);
    const ours = outcomeOf(day, { level: dense, minLevel: 0 }, 1);
    const sparsest = outcomeOf(day, { level: 0, minLevel: 0 }, 1);
    expect(sparsest.attained).toBeGreaterThanOrEqual(0.999);
    expect(ours.attained).toBeGreaterThanOrEqual(0.999);
    expect(ours.quality).toBeGreaterThan(sparsest.quality);
  });
});
