import { describe, expect, test } from 'vitest';
import { SppError } from '../../../schema/errors.ts';
import { levelCache } from './level-cache.ts';
import type { LevelSource } from './level-source.ts';

/** A source whose levels have `sizes` bytes each; `fail` makes the next reads of a level fail. */
function scripted(sizes: readonly number[]) {
  const reads: number[] = [];
  const failing = new Map<number, unknown>();
  const source: LevelSource = {
    get manifest(): never {
      throw new Error('the cache has no business with the manifest');
    },
    async model(level) {
      reads.push(level);
      if (failing.has(level)) throw failing.get(level);
      return new Uint8Array(sizes[level]!).fill(level);
    },
  };
  return { source, reads, failing };
}

function cacheOf({ source }: { source: LevelSource }, budgetBytes: number) {
  const evicted: number[] = [];
  const clock = { ms: 0 };
  const cache = levelCache({
    source,
    budgetBytes,
    copies: 2,
    onEvict: (level) => evicted.push(level),
    now: () => clock.ms,
  });
  return { cache, evicted, clock };
}

describe('level cache', () => {
  test('assembles a level once however many ask at the same time', async () => {
    const parts = scripted([8, 8]);
    const { cache } = cacheOf(parts, 1000);
    const models = await Promise.all([cache.get(1), cache.get(1), cache.get(1)]);
    expect(parts.reads).toEqual([1]);
    expect(new Set(models).size).toBe(1);
    expect([...models[0]!.bytes]).toEqual(new Array(8).fill(1));
  });

  test('drops the least recently used level beyond the budget, never the sparsest', async () => {
    const parts = scripted([10, 10, 10, 10]);
    const { cache, evicted } = cacheOf(parts, 60);
    for (const level of [0, 1, 2, 1, 3]) await cache.get(level);
    expect(evicted).toEqual([2]);
    expect([0, 1, 2, 3].filter((level) => cache.has(level))).toEqual([0, 1, 3]);
    await cache.get(2);
    expect(evicted).toEqual([2, 1]);
  });

  test('serves a level that is over the budget by itself', async () => {
    const { cache, evicted } = cacheOf(scripted([10, 500]), 60);
    await cache.get(0);
    await cache.get(1);
    expect(cache.has(1)).toBe(true);
    expect(evicted).toEqual([]);
  });

  test('remembers a failure for as long as it says, then tries again', async () => {
    const parts = scripted([8, 8]);
    const { cache, clock } = cacheOf(parts, 1000);
    const damaged = new SppError('level-unavailable', 'damaged', { retryAfterS: 5 });
    parts.failing.set(1, damaged);
    await expect(cache.get(1)).rejects.toBe(damaged);
    expect(cache.faultOf(1)).toBe(damaged);
    parts.failing.delete(1);
    clock.ms = 4999;
    await expect(cache.get(1)).rejects.toBe(damaged);
    expect(parts.reads).toEqual([1]);
    clock.ms = 5000;
    await expect(cache.get(1)).resolves.toMatchObject({ level: 1 });
    expect(cache.faultOf(1)).toBeUndefined();
  });
});
