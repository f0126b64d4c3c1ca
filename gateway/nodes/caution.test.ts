import { describe, expect, test } from 'vitest';
import { caution } from './caution.ts';

describe('caution', () => {
  test('grows while more promises are broken than the quantile leaves, and no further than a bound', () => {
    const promises = caution();
    expect(promises.factor()).toBe(1);
    promises.record(0.99, false);
    const once = promises.factor();
    expect(once).toBeGreaterThan(1);
    for (let i = 0; i < 1000; i++) promises.record(0.99, false);
    expect(promises.factor()).toBeGreaterThan(once);
    expect(promises.factor()).toBeLessThanOrEqual(3);
  });

  test('is over when they are kept again, and never makes runs leave less room than usual', () => {
    const promises = caution();
    for (let i = 0; i < 3; i++) promises.record(0.99, false);
    for (let i = 0; i < 1000; i++) promises.record(0.99, true);
    expect(promises.factor()).toBe(1);
  });

  test('does not mind what the quantile leaves', () => {
    const promises = caution();
    for (let i = 0; i < 1000; i++) promises.record(0.9, i % 20 !== 0);
    expect(promises.factor()).toBeLessThan(1.25);
  });
});
