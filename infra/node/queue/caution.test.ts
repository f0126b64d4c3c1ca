import { describe, expect, test } from 'vitest';
import { caution } from './caution.ts';

describe('caution', () => {
  test('rises with who is late behind denser runs, to the most there is, and goes as others are in time', () => {
    const care = caution();
    care.ran(true, 100);
    for (let i = 0; i < 10; i++) care.ended(false, 20, 110);
    const after = care.value;
    expect(after).toBeGreaterThan(0);
    for (let i = 0; i < 1000; i++) care.ended(false, 20, 110);
    expect(care.value).toBe(1);
    for (let i = 0; i < 100_000; i++) care.ended(true, 20, 120);
    expect(care.value).toBe(0);
  });

  test('stays where one of a thousand is late', () => {
    const care = caution();
    for (let round = 0; round < 50; round++) {
      care.ran(true, round);
      care.ended(false, 20, round);
      if (round === 25) expect(care.value).toBeCloseTo(0.02, 5);
      for (let i = 0; i < 1000; i++) care.ended(true, 20, round);
    }
    expect(care.value).toBeCloseTo(0, 5);
  });

  test('is no matter of who is late where only the sparsest have run for long', () => {
    const care = caution();
    care.ran(true, 0);
    care.ran(false, 90);
    care.ended(false, 20, 100);
    expect(care.value).toBe(0);
    care.ended(false, 60, 100);
    expect(care.value).toBeGreaterThan(0);
  });
});
