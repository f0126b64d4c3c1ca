import { describe, expect, test } from 'vitest';
import { SppError } from '../../../schema/errors.ts';
import { refusal } from '../execution/refusal.ts';
import { levelCache } from './level-cache.ts';
import type { SizedLevel } from './level-models.ts';
import { reloading } from './reloading.ts';

const GONE = refusal(1, 'cpu', 'load', 'no such file');

/** A cache whose source makes a model of a path of its own each time. */
function numbered() {
  let made = 0;
  const source = {
    async model(level: number): Promise<SizedLevel> {
      const data = { kind: 'views' as const, path: `${made++}.onnx` };
      return { level, data, ownBytes: 1, sharedBytes: 0, packedBytes: 0 };
    },
  };
  const nothing = () => {};
  return levelCache({ source, budgetBytes: 100, onEvict: nothing, onUnpack: nothing, now: () => 0 });
}

describe('a model that no thread can load', () => {
  test('is made anew, and the run is made on that', async () => {
    const cache = numbered();
    const seen: SizedLevel[] = [];
    const answer = await reloading(cache, async (using) => {
      const model = using(await cache.get(1));
      seen.push(model);
      if (seen.length === 1) throw GONE;
      return 'answer';
    });
    expect(answer).toBe('answer');
    expect(seen.map(({ data }) => data)).toEqual([
      { kind: 'views', path: '0.onnx' },
      { kind: 'views', path: '1.onnx' },
    ]);
    expect(cache.peek(1)).toBe(seen[1]);
    expect(cache.faultOf(1)).toBeUndefined();
  });

  test('is left where another has made it anew meanwhile', async () => {
    const cache = numbered();
    const stale = await cache.get(1);
    cache.discard(stale);
    const fresh = await cache.get(1);
    let runs = 0;
    await reloading(cache, async (using) => {
      using(stale);
      if (runs++ === 0) throw GONE;
    });
    expect(cache.peek(1)).toBe(fresh);
  });

  test('leaves its level out of service where that does not help', async () => {
    const cache = numbered();
    let runs = 0;
    const attempt = reloading(cache, async (using) => {
      runs++;
      using(await cache.get(1));
      throw GONE;
    });
    await expect(attempt).rejects.toBe(GONE);
    expect(runs).toBe(2);
    expect(cache.faultOf(1)).toBe(GONE);
    await expect(cache.get(1)).rejects.toBe(GONE);
  });

  test.each([
    ['a request that the model refuses', refusal(1, 'cpu', 'run', 'out of bounds')],
    [
      'a file that is damaged',
      new SppError('level-unavailable', 'damaged', { details: { reason: 'bad-artifact' } }),
    ],
  ])('is not what %s is', async (_, error) => {
    const cache = numbered();
    const model = await cache.get(1);
    let runs = 0;
    const attempt = reloading(cache, async (using) => {
      runs++;
      using(model);
      throw error;
    });
    await expect(attempt).rejects.toBe(error);
    expect([runs, cache.peek(1)]).toEqual([1, model]);
  });
});
