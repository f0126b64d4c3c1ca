import { describe, expect, test } from 'vitest';
import { inFlight } from './in-flight.ts';

describe('work in flight', () => {
  test('is idle when the last of it has settled, however it settled', async () => {
    const work = inFlight();
    const [first, second] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
    const results = [work.track(() => first.promise), work.track(() => second.promise)];
    const idle = work.idle(60_000);
    expect(work.count).toBe(2);
    first.resolve(1);
    expect(await results[0]).toBe(1);
    expect(work.count).toBe(1);
    second.reject(new Error('failed'));
    await expect(results[1]).rejects.toThrow('failed');
    expect([await idle, work.count]).toEqual([true, 0]);
  });

  test('is waited for no longer than told', async () => {
    const work = inFlight();
    const never = Promise.withResolvers<void>();
    void work.track(() => never.promise);
    expect(await work.idle(1)).toBe(false);
    expect(await inFlight().idle(0)).toBe(true);
  });
});
