import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { executeTime } from '../selector/predict.ts';
import { type LengthTimes, timesAtLength } from './times-by-length.ts';

/** Times that rise with the length, at the same batch sizes for each, in any order. */
const rising = fc
  .record({
    lengths: fc.uniqueArray(fc.constantFrom(1, 2, 8, 16, 64, 256, 1024), { minLength: 1, maxLength: 5 }),
    batches: fc.uniqueArray(fc.integer({ min: 1, max: 16 }), { minLength: 1, maxLength: 3 }),
    steps: fc.array(fc.double({ min: 0.01, max: 50, noNaN: true }), { minLength: 45, maxLength: 45 }),
  })
  .map(({ lengths, batches, steps }): LengthTimes[] => {
    const next = steps[Symbol.iterator]();
    const step = () => next.next().value ?? 1;
    return batches.flatMap((batch) => {
      const held = { p50Ms: 0, p95Ms: 0, p99Ms: 0 };
      return lengths
        .toSorted((a, b) => a - b)
        .map((length) => {
          const more = [step(), step(), step()].toSorted((a, b) => a - b) as [number, number, number];
          held.p50Ms += more[0];
          held.p95Ms += more[1];
          held.p99Ms += more[2];
          return { length, batch, ...held };
        });
    });
  });
const bucket = fc.integer({ min: 0, max: 12 }).map((power) => 2 ** power);
const quantile = fc.double({ min: 0.01, max: 0.99, noNaN: true });

describe('what a node reports by length', () => {
  test('never has a longer sequence be faster, where longer ones took longer', () => {
    fc.assert(
      fc.property(rising, bucket, bucket, quantile, (reported, a, b, share) => {
        const batch = reported[0]?.batch ?? 1;
        const ms = (length: number) => executeTime(timesAtLength(reported, length) ?? [], batch, share);
        expect(ms(Math.max(a, b))).toBeGreaterThanOrEqual(ms(Math.min(a, b)) * (1 - 1e-9));
        expect(ms(a)).toBeGreaterThan(0);
      }),
    );
  });

  test('is taken as it is for a length that ran, whatever the order of the report', () => {
    fc.assert(
      fc.property(rising, (reported) => {
        for (const { length } of reported) {
          const own = reported.filter((times) => times.length === length);
          const bare = own.map(({ length: _, ...times }) => times);
          expect(timesAtLength(reported, length)).toEqual(bare);
          expect(timesAtLength(reported.toReversed(), length)).toEqual(bare.toReversed());
        }
      }),
    );
  });

  test('tells a length between two by both, one beyond by the longest, and nothing where nothing ran', () => {
    const at = (length: number, ms: number) => ({
      length,
      batch: 1,
      p50Ms: ms,
      p95Ms: 2 * ms,
      p99Ms: 3 * ms,
    });
    const reported = [at(16, 4), at(64, 10)];
    const [between] = timesAtLength(reported, 32) ?? [];
    expect([between?.p50Ms, between?.p95Ms].map((ms) => ms?.toFixed(9))).toEqual([
      '6.000000000',
      '12.000000000',
    ]);
    expect(timesAtLength(reported, 128)).toEqual([{ batch: 1, p50Ms: 20, p95Ms: 40, p99Ms: 60 }]);
    expect(timesAtLength(reported, 4)).toEqual([{ batch: 1, p50Ms: 4, p95Ms: 8, p99Ms: 12 }]);
    expect(timesAtLength([], 4)).toBeUndefined();
  });
});
