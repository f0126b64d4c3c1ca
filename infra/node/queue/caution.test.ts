import { describe, expect, test } from 'vitest';
import { type Caution, caution } from './caution.ts';

/** After so many in time, whoever may have been late before. */
function calmed(care: Caution, requests: number): Caution {
  for (let i = 0; i < requests; i++) care.ended(-5, 0, 10);
  return care;
}

/** Where a budget is one run at the level asked for. */
const TIGHT = 1;

const state = (care: Caution, exposure = TIGHT) => {
  const { readiness, reserve } = care.at(exposure);
  return [readiness, reserve];
};

describe('caution', () => {
  test('begins ready for bursts, with levels as they look right, and goes as requests are in time', () => {
    const care = caution();
    expect(state(care)).toEqual([1, 0]);
    expect(state(calmed(care, 1250))).toEqual([expect.closeTo(0.5), 0]);
    expect(state(calmed(care, 1300))).toEqual([0, 0]);
  });

  test('stays ready where more than four of a thousand come close to being late behind denser runs', () => {
    const readiness = (others: number) => {
      const care = caution();
      for (let round = 0; round < 100; round++) {
        care.began(8, 2)(8, 100 * round);
        care.ended(-2, 100 * round - 10, 10);
        calmed(care, others);
      }
      return care.at(TIGHT).readiness;
    };
    expect(readiness(200)).toBeGreaterThan(0.9);
    expect(readiness(240)).toBeGreaterThan(0.85);
    expect(readiness(300)).toBeLessThan(0.2);
  });

  test('is raised by those that come close to where levels look right, and no further', () => {
    const care = calmed(caution(), 200_000);
    care.began(8, 2)(8, 100);
    care.ended(-2, 90, 10);
    expect(state(care)).toEqual([expect.closeTo(0.1), 0]);
    for (let i = 0; i < 1000; i++) care.ended(-2, 90, 10);
    expect(state(care)).toEqual([1, 0]);
    // Of roomy budgets it is a small part.
    expect(state(care, 1 / 10)).toEqual([expect.closeTo(0.25), 0]);
  });

  test('is no matter of who came close where sparser levels would hardly have helped', () => {
    const care = calmed(caution(), 200_000);
    care.began(8, 2)(68, 100);
    for (let i = 0; i < 50; i++) care.ended(-2, 111, 10);
    care.began(2, 2)(30, 200);
    for (let i = 0; i < 50; i++) care.ended(-2, 190, 10);
    expect(state(care)).toEqual([0, 0]);
  });

  test('begins the less ready the roomier budgets are, until somebody is late', () => {
    const care = caution();
    expect(state(care, 1 / 5)).toEqual([1, 0]);
    const begins = [1 / 8, 1 / 10, 1 / 20, 0].map((exposure) => care.at(exposure).readiness);
    expect(begins).toEqual([0.390625, 0.25, 0.0625, 0].map((readiness) => expect.closeTo(readiness)));
    care.began(8, 2)(8, 100);
    care.ended(6, 90, 10);
    expect(state(care, 1 / 12)).toEqual([1, expect.closeTo(0.1)]);
  });

  test('rises with who is late behind denser runs: first to be ready for bursts, then to the sparsest levels', () => {
    const care = calmed(caution(), 200_000);
    care.began(8, 2)(8, 100);
    for (let i = 0; i < 5; i++) care.ended(6, 90, 10);
    expect(state(care)).toEqual([expect.closeTo(0.5), 0]);
    for (let i = 0; i < 10; i++) care.ended(6, 90, 10);
    expect(state(care)).toEqual([1, expect.closeTo(0.5)]);
    for (let i = 0; i < 1000; i++) care.ended(6, 90, 10);
    expect(state(care)).toEqual([1, 1]);
  });

  test('rises to what would have saved those who were late, however many, and from there again', () => {
    const care = caution();
    care.began(12, 2)(12, 100);
    for (let i = 0; i < 100; i++) care.ended(4, 90, 10);
    expect(state(care)).toEqual([1, expect.closeTo(0.4)]);
    care.ended(1, 90, 10);
    expect(state(care)).toEqual([1, expect.closeTo(0.4)]);
    // With four tenths less: of ten there are six left, and half of those were too many.
    care.began(8, 2)(8, 200);
    for (let i = 0; i < 100; i++) care.ended(3, 190, 10);
    expect(state(care)).toEqual([1, expect.closeTo(0.7)]);
  });

  test('stays where one of two thousand is late', () => {
    const care = caution();
    const reserves = Array.from({ length: 50 }, (_, round) => {
      care.began(8, 2)(8, 100 * round);
      care.ended(6, 100 * round, 10);
      const { reserve } = care.at(TIGHT);
      calmed(care, 2000);
      return reserve;
    });
    expect(reserves).toEqual(reserves.map(() => expect.closeTo(0.1)));
  });

  test('is no matter of who is later than the sparsest levels would have saved', () => {
    const care = calmed(caution(), 200_000);
    // The machine stands still for 60 ms, and dozens are late.
    care.began(8, 2)(68, 100);
    for (let i = 0; i < 50; i++) care.ended(40, 60, 10);
    // What was denser had ended long before they came.
    for (let i = 0; i < 50; i++) care.ended(2, 111, 10);
    care.began(2, 2)(80, 200);
    for (let i = 0; i < 50; i++) care.ended(1, 150, 10);
    expect(state(care)).toEqual([0, 0]);
    care.ended(18, 60, 10);
    expect(care.at(TIGHT).readiness).toBeCloseTo(0.1);
    // What it found waiting, or running, when it came.
    care.ended(2, 109, 10);
    expect(care.at(TIGHT).readiness).toBeCloseTo(0.2);
  });
});
