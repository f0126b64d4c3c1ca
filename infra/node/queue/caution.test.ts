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
    care.ran(true, 100);
    for (let i = 0; i < 5; i++) care.ended(false, 20, 110);
    expect(state(care)).toEqual([expect.closeTo(0.5), 0]);
    for (let i = 0; i < 10; i++) care.ended(false, 20, 110);
    expect(state(care)).toEqual([1, expect.closeTo(0.5)]);
    for (let i = 0; i < 1000; i++) care.ended(false, 20, 110);
    expect(state(care)).toEqual([1, 1]);
  });

  test('stays where one of two thousand is late', () => {
    const care = caution();
    const reserves = Array.from({ length: 50 }, (_, round) => {
      care.ran(true, round);
      care.ended(false, 20, round);
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
