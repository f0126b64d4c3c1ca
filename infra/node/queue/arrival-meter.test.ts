import { describe, expect, test } from 'vitest';
import { arrivalMeter } from './arrival-meter.ts';

describe('the meter of arrivals', () => {
  test('tells rows a millisecond over what came lately', () => {
    const meter = arrivalMeter();
    for (let i = 0; i < 1000; i++) meter.arrived(2, undefined, i * 5);
    expect(meter.rate(1000 * 5)).toBeCloseTo(0.4, 5);
    for (let i = 0; i < 400; i++) meter.arrived(1, undefined, 5000 + i);
    expect(meter.rate(5400)).toBeCloseTo(1, 5);
  });

  test('tells nothing of few arrivals, of many at one moment, or of long ago', () => {
    const meter = arrivalMeter();
    for (let i = 0; i < 7; i++) meter.arrived(1, 10, i);
    expect(meter.rate(7)).toBe(0);
    for (let i = 0; i < 20; i++) meter.arrived(1, undefined, 2000);
    expect(meter.rate(2000)).toBe(0);
    expect(meter.rate(2010)).toBeCloseTo(2, 5);
    expect(meter.rate(9000)).toBe(0);
    expect(meter.shortestBudgetMs(9000)).toBe(Infinity);
  });

  test('sees a burst within a budget, and forgets it as soon', () => {
    const meter = arrivalMeter();
    // One every 4 ms, with budgets of 20 ms in the mean, then ten at once.
    for (let i = 0; i <= 200; i++) meter.arrived(1, i % 2 === 0 ? 10 : 30, 4 * i);
    expect(meter.rate(800)).toBeLessThan(0.31);
    for (let i = 0; i < 10; i++) meter.arrived(1, 20, 800);
    expect(meter.rate(801)).toBeGreaterThan(0.7);
    for (let i = 201; i <= 210; i++) meter.arrived(1, 20, 4 * i);
    expect(meter.rate(840)).toBeLessThan(0.31);
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
