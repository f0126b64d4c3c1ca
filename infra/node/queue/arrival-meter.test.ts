import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { describe, expect, test } from 'vitest';
import { arrivalMeter } from './arrival-meter.ts';

describe('the meter of arrivals', () => {
  test('tells rows a millisecond over what came lately', () => {
    const meter = arrivalMeter();
    for (let i = 0; i < 1000; i++) meter.arrived(2, undefined, i * 5);
    expect(meter.rates(1000 * 5).present).toBeCloseTo(0.4, 5);
    for (let i = 0; i < 400; i++) meter.arrived(1, undefined, 5000 + i);
    expect(meter.rates(5400).present).toBeCloseTo(1, 5);
  });

  test('tells nothing of few arrivals, of many at one moment, or of long ago', () => {
    const meter = arrivalMeter();
    for (let i = 0; i < 7; i++) meter.arrived(1, 10, i);
    expect(meter.rates(7).present).toBe(0);
    for (let i = 0; i < 20; i++) meter.arrived(1, undefined, 2000);
    expect(meter.rates(2000).present).toBe(0);
    expect(meter.rates(2010).present).toBeCloseTo(2, 5);
    expect(meter.rates(9000).present).toBe(0);
    expect(meter.shortestBudgetMs(9000)).toBe(Infinity);
  });

  test('sees a burst within a budget, and tells as soon that it has gone', () => {
    const meter = arrivalMeter();
    // One every 4 ms, with budgets of 20 ms in the mean, then ten at once.
    for (let i = 0; i <= 200; i++) meter.arrived(1, i % 2 === 0 ? 10 : 30, 4 * i);
    expect(meter.rates(800).present).toBeLessThan(0.31);
    for (let i = 0; i < 10; i++) meter.arrived(1, 20, 800);
    expect(meter.rates(801).present).toBeGreaterThan(0.7);
    for (let i = 201; i <= 210; i++) meter.arrived(1, 20, 4 * i);
    expect(meter.rates(840).present).toBeLessThan(0.31);
  });

  test('is sure of what came lately, and of so much of a burst as chance does not make', () => {
    const meter = arrivalMeter();
    for (let i = 0; i <= 200; i++) meter.arrived(1, 20, 4 * i);
    expect(meter.rates(800).sure).toBeCloseTo(0.25, 2);
    // Two more than usual within a budget may be chance; thirty more are not.
    for (let i = 0; i < 3; i++) meter.arrived(1, 20, 801);
    const { sure, present } = meter.rates(802);
    expect(sure).toBeLessThan(0.27);
    expect(present).toBeGreaterThan(0.37);
    for (let i = 0; i < 30; i++) meter.arrived(1, 20, 802);
    expect(meter.rates(803).sure).toBeGreaterThan(1);
  });

  test('remembers the worst burst for some seconds', () => {
    const meter = arrivalMeter();
    for (let i = 0; i < 100; i++) meter.arrived(1, 20, 8 * i);
    for (let i = 0; i < 60; i++) meter.arrived(1, 20, 800);
    const { burst } = meter.rates(801);
    expect(burst).toBeGreaterThan(2);
    const later = [1000, 2000, 5000, 9000].map((ms) => meter.rates(801 + ms).burst / burst);
    expect(later).toEqual([1, 2, 5, 9].map((s) => expect.closeTo(Math.exp(-s), 5)));
    for (let i = 0; i < 40; i++) meter.arrived(1, 20, 1900);
    expect(meter.rates(1901).burst).toBeGreaterThan(burst * Math.exp(-1.1));
  });

  test('sees a burst of more than it keeps', () => {
    const meter = arrivalMeter();
    for (let i = 0; i <= 2000; i++) meter.arrived(1, 400, i / 4);
    expect(meter.rates(500).burst).toBeGreaterThan(3);
  });

  test('takes what comes evenly, or as chance has it, for no burst', () => {
    const meter = arrivalMeter();
    const random = xoroshiro128plus(3);
    let atMs = 0;
    for (let i = 0; i < 2000; i++) {
      atMs -= Math.log(1 - uniformFloat64(random));
      meter.arrived(1, 25, atMs);
      expect(meter.rates(atMs).burst).toBeLessThan(1.3);
    }
  });

  test('knows the shortest budget, forgets it with its arrival, and does not count what has none', () => {
    const meter = arrivalMeter();
    expect(meter.shortestBudgetMs(0)).toBe(Infinity);
    meter.arrived(1, 5, 0);
    meter.arrived(1, 20, 900);
    meter.arrived(1, undefined, 900);
    expect(meter.shortestBudgetMs(950)).toBe(5);
    expect(meter.shortestBudgetMs(1500)).toBe(20);
  });
});
