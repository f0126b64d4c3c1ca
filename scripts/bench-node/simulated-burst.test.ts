import { describe, expect, test } from 'vitest';
import { gammaArrivals, uniforms } from './arrivals.ts';
import { evenShares, madeUpQuality } from './random-vit.ts';
import { simulateBurst } from './simulated-burst.ts';

const shares = evenShares(12, 0.1);
const dense = shares.length - 1;
const runMs = (level: number, rows: number) =>
  0.3 + 4 * (0.2 + 0.8 * (shares[level] ?? 1)) * (0.15 + 0.85 * rows);
const machine = { threads: 2, maxRows: 8, runMs, noise: 0.5 };
/** More than the dense level holds by 30 %, each of three budgets as often. */
const ratePerS = (1.3 * 2 * 8000) / (runMs(dense, 8) * 1.25);

function bursts(cv2: number, policy: { level: number; minLevel: number }) {
  const uniform = uniforms(7);
  const arrivals = gammaArrivals(cv2, ratePerS, cv2, 4).map((atMs) => ({
    ...policy,
    atMs,
    budgetMs: [3, 6, 12][Math.floor(uniform() * 3)]! * runMs(dense, 1) * 1.25,
  }));
  const kept = simulateBurst(machine, arrivals).filter(({ inTime }) => inTime);
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
});
