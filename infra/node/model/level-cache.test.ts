import { describe, expect, test } from 'vitest';
import { SppError } from '../../../schema/errors.ts';
import { levelCache } from './level-cache.ts';
import type { SizedLevel } from './level-models.ts';

/** A source whose levels take twice `sizes` bytes, thrice as much more when packed, and share `sharedBytes`; `fail` makes the next reads of a level fail. */
function scripted(sizes: readonly number[], sharedBytes = 0) {
  const reads: number[] = [];
  const failing = new Map<number, unknown>();
  const source = {
    async model(level: number): Promise<SizedLevel> {
      reads.push(level);
      if (failing.has(level)) throw failing.get(level);
      const data = { kind: 'views' as const, path: `level-${level}.onnx` };
      return { level, data, ownBytes: 2 * sizes[level]!, sharedBytes, packedBytes: 3 * sizes[level]! };
    },
  };
  return { source, reads, failing };
}

function cacheOf({ source }: ReturnType<typeof scripted>, budgetBytes: number) {
  const evicted: number[] = [];
  /** How many levels had been evicted, each time. */
  const unpacked: number[] = [];
  const clock = { ms: 0 };
  const cache = levelCache({
    source,
    budgetBytes,
    onEvict: (level) => evicted.push(level),
    onUnpack: () => unpacked.push(evicted.length),
    now: () => clock.ms,
  });
  return { cache, evicted, unpacked, clock };
}

describe('level cache', () => {
  test('assembles a level once however many ask at the same time', async () => {
    const parts = scripted([8, 8]);
    const { cache } = cacheOf(parts, 1000);
    const models = await Promise.all([cache.get(1), cache.get(1), cache.get(1)]);
    expect(parts.reads).toEqual([1]);
    expect(new Set(models).size).toBe(1);
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

  test('counts what levels share once', async () => {
    const { cache, evicted } = cacheOf(scripted([10, 10, 10], 100), 160);
    for (const level of [0, 1, 2]) await cache.get(level);
    expect([cache.size, cache.usedBytes, evicted]).toEqual([3, 160, []]);
  });

  test('gives packed sessions up before any level, and packs none that the budget does not hold', async () => {
    const { cache, evicted, unpacked } = cacheOf(scripted([10, 10, 10]), 65);
    await cache.get(0);
    expect(cache.pack(0)).toBe(true);
    await cache.get(1);
    expect([unpacked, evicted]).toEqual([[0], []]);
    await cache.get(2);
    expect(evicted).toEqual([]);
    expect([cache.pack(2), cache.usedBytes]).toEqual([false, 60]);
  });

  test('a level brought in ahead makes levels go that are of no use near it, and is the first to go itself', async () => {
    const parts = scripted([10, 10, 10, 10, 10]);
    const { cache, evicted } = cacheOf(parts, 60);
    for (const level of [0, 4, 2]) await cache.get(level);
    const keep = new Set([1, 2, 3]);
    expect(await cache.preload(1, keep)).toMatchObject({ level: 1 });
    expect([cache.levels(), evicted]).toEqual([[1, 0, 2], [4]]);
    expect(await cache.preload(1, keep)).toBeUndefined();
    await cache.get(4);
    expect([cache.levels(), evicted]).toEqual([
      [0, 2, 4],
      [4, 1],
    ]);
  });

  test('a level brought in ahead takes no room from levels in use, nor from packed sessions', async () => {
    const { cache, evicted, unpacked } = cacheOf(scripted([10, 10, 10]), 75);
    for (const level of [0, 1]) await cache.get(level);
    expect(cache.pack(1)).toBe(true);
    expect(await cache.preload(2, new Set([1, 2]))).toBeUndefined();
    expect([cache.levels(), evicted, unpacked]).toEqual([[0, 1], [], []]);
  });

  test('a level that has no room is not made to be brought in ahead, and nothing goes for it', async () => {
    const parts = scripted([10, 10, 30]);
    const { cache, evicted } = cacheOf(parts, 60);
    for (const level of [2, 0, 1]) await cache.get(level);
    evicted.length = 0;
    for (let look = 0; look < 3; look++) expect(await cache.preload(2, new Set([1, 2]))).toBeUndefined();
    expect([parts.reads, cache.levels(), evicted]).toEqual([[2, 0, 1], [0, 1], []]);
  });

  test('a level that takes its time is made once, however often it is looked after', async () => {
    const parts = scripted([10, 10]);
    const { cache } = cacheOf(parts, 100);
    const [first, ...others] = await Promise.all([1, 1, 1].map((level) => cache.preload(level, new Set())));
    expect([first?.level, others, parts.reads]).toEqual([1, [undefined, undefined], [1]]);
  });

  test('a level that cannot be had is not brought in ahead, and is told to who asks for it', async () => {
    const parts = scripted([10, 10]);
    const { cache } = cacheOf(parts, 100);
    parts.failing.set(1, new Error('gone'));
    expect(await cache.preload(1, new Set())).toBeUndefined();
    await expect(cache.get(1)).rejects.toThrow('gone');
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
