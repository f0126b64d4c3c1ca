import { describe, expect, test } from 'vitest';
import { type Caution, caution } from './caution.ts';

/** After so many in time, whoever may have been late before. */
function calmed(care: Caution, requests: number): Caution {
  for (let i = 0; i < requests; i++) care.ended(true, 20, 0);
  return care;
}

const state = ({ readiness, reserve }: Caution) => [readiness, reserve];

describe('caution', () => {
  test('begins ready for bursts, with levels as they look right, and goes as requests are in time', () => {
    const care = caution();
    expect(state(care)).toEqual([1, 0]);
    calmed(care, 10_000);
    expect(care.readiness).toBeGreaterThan(0);
    expect(care.readiness).toBeLessThan(0.6);
    expect(state(calmed(care, 50_000))).toEqual([0, 0]);
  });

  test('rises with who is late behind denser runs: first to be ready for bursts, then to the sparsest levels', () => {
    const care = calmed(caution(), 200_000);
    const late = (count: number, atMs: number) => {
      care.ran(true, atMs);
      for (let i = 0; i < count; i++) care.ended(false, 20, atMs + i);
      return state(care);
    };
    expect(late(3, 100)).toEqual([expect.closeTo(0.3), 0]);
    // Of many at a time, few count: they have one cause.
    expect(late(30, 200)).toEqual([expect.closeTo(0.7), 0]);
    expect([300, 400].map((atMs) => late(30, atMs)).at(-1)).toEqual([1, expect.closeTo(0.5)]);
    expect([500, 600, 700].map((atMs) => late(30, atMs)).at(-1)).toEqual([1, 1]);
  });

  test('stays where one of two thousand is late', () => {
    const care = caution();
    const reserves = Array.from({ length: 50 }, (_, round) => {
      care.ran(true, 100 * round);
      care.ended(false, 20, 100 * round);
      const { reserve } = care;
      calmed(care, 2000);
      return reserve;
    });
    expect(reserves).toEqual(reserves.map(() => expect.closeTo(0.1)));
  });

  test('is no matter of who is late where only the sparsest have run for long', () => {
    const care = calmed(caution(), 200_000);
    care.ran(true, 0);
    care.ran(false, 90);
    care.ended(false, 20, 100);
    expect(care.readiness).toBe(0);
    care.ended(false, 60, 100);
    expect(care.readiness).toBeGreaterThan(0);
  });
});
