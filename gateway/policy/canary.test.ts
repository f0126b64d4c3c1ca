import { describe, expect, test } from 'vitest';
import type { Canary } from '../../schema/policy.ts';
import { canaryVersion, drawFor, governing } from './canary.ts';

const ids = Array.from({ length: 20_000 }, (_, i) => `request-${i}`);
const share = (count: number) => count / ids.length;

describe('a canary', () => {
  test('draws evenly, and the same for the same request', () => {
    const draws = ids.map(drawFor);
    expect(draws).toEqual(ids.map(drawFor));
    for (let tenth = 0; tenth < 10; tenth++) {
      const here = draws.filter((draw) => Math.floor(draw * 10) === tenth).length;
      // Five standard deviations of a binomial count.
      expect(Math.abs(share(here) - 0.1)).toBeLessThan(5 * Math.sqrt(0.09 / ids.length));
    }
  });

  test('of two policies gives each its share', () => {
    const policy = (canary: Canary | null, version: number) => ({ version, document: { canary } });
    const [next, before] = [policy({ kind: 'policy', baseline: 1, share: 0.2 }, 2), policy(null, 1)];
    const governed = ids.filter((id) => governing(next, before, id) === next).length;
    expect(share(governed)).toBeCloseTo(0.2, 1);
    expect(governing(before, undefined, 'x')).toBe(before);
    for (const [part, wanted] of [
      [0, before],
      [1, next],
    ] as const)
      expect(
        ids.every(
          (id) =>
            governing(
              { ...next, document: { canary: { kind: 'policy', baseline: 1, share: part } } },
              before,
              id,
            ).version === wanted.version,
        ),
      ).toBe(true);
  });

  test('of two artifact versions speaks of its own model alone', () => {
    const canary: Canary = { kind: 'artifact', model: 'm', baseline: 'v1', candidate: 'v2', share: 0.3 };
    const candidates = ids.filter((id) => canaryVersion(canary, 'm', id) === 'v2').length;
    expect(share(candidates)).toBeCloseTo(0.3, 1);
    expect(canaryVersion(canary, 'other', 'x')).toBeUndefined();
    expect(canaryVersion(null, 'm', 'x')).toBeUndefined();
  });
});
