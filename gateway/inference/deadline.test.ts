import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { steadyClock } from '../state/steady-clock.ts';
import { Deadline } from './deadline.ts';
import { timerLateness } from './timer-lateness.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const never = new Promise<never>(() => {});
const start = (budgetMs: number) => new Deadline(Date.now(), budgetMs, Date.now);

describe('a deadline', () => {
  test('stops all work and answers, at its time and not before', async () => {
    const clock = start(50);
    const stopped = vi.fn();
    clock.onPassed(stopped);
    const bound = clock.bound(never).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(49);
    expect(stopped).not.toHaveBeenCalled();
    expect(clock.leftMs()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(stopped).toHaveBeenCalledOnce();
    expect(await bound).toMatchObject({ code: 'budget-overrun', status: 504 });
  });

  test('lets work that is done in time be what it is', async () => {
    const clock = start(50);
    expect(await clock.bound(Promise.resolve(7))).toBe(7);
    await expect(clock.bound(Promise.reject(new Error('its own')))).rejects.toThrow('its own');
    const stopped = vi.fn();
    clock.onPassed(stopped);
    clock.release();
    await vi.advanceTimersByTimeAsync(1000);
    expect(stopped).not.toHaveBeenCalled();
  });

  test('passes also where the machine’s clock is set back meanwhile', async () => {
    const { now } = steadyClock(Date.now);
    const clock = new Deadline(now(), 50, now);
    const stopped = vi.fn();
    clock.onPassed(stopped);
    await vi.advanceTimersByTimeAsync(10);
    vi.setSystemTime(Date.now() - 3_600_000);
    await vi.advanceTimersByTimeAsync(100);
    expect(stopped).toHaveBeenCalledOnce();
  });

  test('may be moved, either way, until it passes', async () => {
    const clock = start(50);
    const stopped = vi.fn();
    clock.onPassed(stopped);
    clock.grant(100);
    await vi.advanceTimersByTimeAsync(80);
    expect(stopped).not.toHaveBeenCalled();
    clock.grant(90);
    await vi.advanceTimersByTimeAsync(10);
    expect(stopped).toHaveBeenCalledOnce();
    clock.grant(1000);
    await expect(clock.bound(never)).rejects.toMatchObject({ code: 'budget-overrun' });
  });

  test('is told in time by timers that are late, and of a short budget takes little for that', async () => {
    const lateness = timerLateness();
    for (let i = 0; i < 100; i++) lateness.wentOff(1.9);
    const passedAfter = async (budgetMs: number) => {
      const startMs = Date.now();
      const clock = new Deadline(startMs, budgetMs, Date.now, lateness);
      let atMs = Number.NaN;
      clock.onPassed(() => {
        atMs = Date.now() - startMs;
      });
      await vi.advanceTimersByTimeAsync(2 * budgetMs);
      expect(clock.leftMs()).toBeLessThanOrEqual(0);
      return atMs;
    };
    expect(await passedAfter(200)).toBeGreaterThanOrEqual(198);
    expect(await passedAfter(200)).toBeLessThan(200);
    expect(await passedAfter(10)).toBe(10);
    for (let i = 0; i < 100; i++) lateness.wentOff(500);
    expect(lateness.ms()).toBeLessThanOrEqual(2);
    for (let i = 0; i < 100; i++) lateness.wentOff(-1);
    expect(lateness.ms()).toBeCloseTo(0, 3);
  });

  test('tells what is slow, by the timer that it has, unless that is taken back or it passes before', async () => {
    const clock = start(10_000);
    const startMs = Date.now();
    const told: [string, number][] = [];
    const slow = (name: string) => () => void told.push([name, Date.now() - startMs]);
    clock.after(2500, slow('late'));
    clock.after(1500, slow('taken back'))();
    clock.after(30, slow('soon'));
    clock.after(20_000, slow('never'));
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(9999);
    expect(told).toEqual([
      ['soon', 30],
      ['late', 2500],
    ]);
    const stopped = vi.fn();
    clock.onPassed(stopped);
    await vi.advanceTimersByTimeAsync(30_000);
    expect([told.length, stopped.mock.calls.length]).toEqual([2, 1]);
  });

  test('taking back what was told already takes back nothing else', async () => {
    const clock = start(10_000);
    const told = vi.fn();
    const first = clock.after(20, () => {});
    clock.after(2500, told);
    await vi.advanceTimersByTimeAsync(30);
    first();
    await vi.advanceTimersByTimeAsync(5000);
    expect(told).toHaveBeenCalledOnce();
  });

  test('who is told may ask to be told again', async () => {
    const clock = start(10_000);
    const startMs = Date.now();
    const told: number[] = [];
    const again = () => {
      told.push(Date.now() - startMs);
      if (told.length < 3) clock.after(100, again);
    };
    clock.after(100, again);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(told).toEqual([100, 200, 300]);
  });

  test('that has passed stops what begins later at once', async () => {
    const clock = start(1);
    await vi.advanceTimersByTimeAsync(5);
    const stopped = vi.fn();
    clock.onPassed(stopped);
    expect(stopped).toHaveBeenCalledOnce();
    const late = vi.fn();
    start(10).onPassed(late)();
    await vi.advanceTimersByTimeAsync(20);
    expect(late).not.toHaveBeenCalled();
  });
});
