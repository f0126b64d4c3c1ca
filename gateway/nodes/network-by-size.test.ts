import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type NetworkTimes, usualWayMs, wayMs, waysAt } from '../selector/network-times.ts';
import { decayingHistogram } from './decaying-histogram.ts';
import { networkBySize } from './network-by-size.ts';

const HALF_LIFE_MS = 15_000;
const IMAGE = 588 * 1024;

const at = (times: NetworkTimes, bytes: number, quantile = 0.5) => wayMs(waysAt(times, quantile), bytes);

/** What was recorded, in order: probes have no bytes. */
const history = fc.array(
  fc.record({
    bytes: fc.option(
      fc.oneof(fc.nat(10_000), fc.nat(100_000_000), fc.constantFrom(0, 4096, 4097, 8192, IMAGE)),
      { nil: undefined },
    ),
    ms: fc.double({ min: 0, max: 5000, noNaN: true }),
    afterMs: fc.integer({ min: 0, max: 30_000 }),
  }),
  { maxLength: 60 },
);

function learned(samples: typeof history extends fc.Arbitrary<infer T> ? T : never) {
  const network = networkBySize(HALF_LIFE_MS);
  let nowMs = 1_000_000;
  const seen: NetworkTimes[] = [];
  for (const { bytes, ms, afterMs } of samples) {
    nowMs += afterMs;
    if (bytes === undefined) network.recordProbe(ms, nowMs);
    else network.record(bytes, ms, nowMs);
    seen.push(network.times(nowMs));
  }
  return { network, nowMs, seen };
}

describe('the way to a node by size', () => {
  test('a larger body is never predicted faster, nor any in less than no time, at any quantile', () => {
    const size = fc.nat(200_000_000);
    const quantile = fc.double({ min: 0.01, max: 0.9999, noNaN: true });
    fc.assert(
      fc.property(history, size, size, quantile, (samples, a, b, share) => {
        const ways = waysAt(learned(samples).seen.at(-1) ?? [], share);
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        expect(wayMs(ways, less)).toBeGreaterThanOrEqual(0);
        expect(wayMs(ways, more)).toBeGreaterThanOrEqual(wayMs(ways, less));
        expect(usualWayMs(ways, more)).toBeGreaterThanOrEqual(usualWayMs(ways, less));
      }),
    );
  });

  test('the same history gives the same, and sizes come in order', () => {
    fc.assert(
      fc.property(history, (samples) => {
        const { seen } = learned(samples);
        expect(learned(samples).seen).toEqual(seen);
        for (const times of seen)
          for (const [place, { bytes }] of times.entries())
            expect(bytes).toBeGreaterThan(times[place - 1]?.bytes ?? -1);
      }),
    );
  });

  test('bodies of one size are predicted by the quantiles of their times, as without sizes', () => {
    fc.assert(
      fc.property(
        fc.nat(100_000_000),
        fc.array(fc.double({ min: 0.1, max: 1000, noNaN: true }), { minLength: 5, maxLength: 40 }),
        fc.array(fc.double({ min: 0.1, max: 1000, noNaN: true }), { maxLength: 10 }),
        fc.double({ min: 0.5, max: 0.99, noNaN: true }),
        (bytes, times, probes, quantile) => {
          const [network, plain] = [networkBySize(HALF_LIFE_MS), decayingHistogram(HALF_LIFE_MS)];
          for (const ms of probes) network.recordProbe(ms, 1000);
          for (const ms of times) {
            network.record(bytes, ms, 1000);
            plain.record(ms, 1000);
          }
          const alone = waysAt([{ bytes: 0, ...(plain.quantiles() ?? expect.fail()) }], quantile);
          expect(at(network.times(1000), bytes, quantile)).toBeCloseTo(wayMs(alone, bytes), 6);
        },
      ),
    );
  });

  test('knows large bodies from small ones, and what lies between in proportion', () => {
    const network = networkBySize(HALF_LIFE_MS);
    for (let i = 0; i < 20; i++) {
      network.record(1000, 1, i);
      network.record(IMAGE, 9, i);
    }
    const times = network.times(20);
    expect(at(times, 1000)).toBeCloseTo(1, 4);
    expect(at(times, IMAGE)).toBeCloseTo(9, 4);
    expect(at(times, (4096 + IMAGE) / 2)).toBeCloseTo(5, 4);
    expect(at(times, 3 * IMAGE)).toBeGreaterThan(12);
  });

  test('tells how quick the way is with hardly anything to carry, where nothing held up reports or small bodies', () => {
    const network = networkBySize(HALF_LIFE_MS);
    expect(network.quickestMs()).toBe(0);
    for (let i = 0; i < 20; i++) network.record(IMAGE, 60, i);
    expect(network.quickestMs()).toBe(0);
    network.recordProbe(3, 20);
    expect(network.quickestMs()).toBeCloseTo(3, 4);
    for (let i = 0; i < 20; i++) network.record(500, i % 5 === 0 ? 2 : 40, i);
    expect(network.quickestMs()).toBeCloseTo(2, 4);
  });

  test('before a size was seen it is told by reports and what bytes cost: seeded, then as they were last seen to', () => {
    const network = networkBySize(HALF_LIFE_MS);
    expect(network.times(0)).toEqual([]);
    for (let i = 0; i < 8; i++) network.recordProbe(1, i);
    const seeded = at(network.times(8), IMAGE);
    expect(seeded).toBeGreaterThan(1.4);
    expect(seeded).toBeLessThan(1.6);
    for (let i = 0; i < 20; i++) network.record(IMAGE, 61, i);
    expect(at(network.times(20), IMAGE)).toBeCloseTo(61, 4);
    // Long after, what a byte cost is still known; that the way is as long for all is not.
    for (let i = 0; i < 20; i++) network.recordProbe(11, 600_000 + i);
    const later = at(network.times(600_020), IMAGE);
    expect(later).toBeGreaterThan(50);
    expect(later).toBeLessThan(71);
  });

  test('what its client was still sending says how quick the way is, never how slow', () => {
    const network = networkBySize(HALF_LIFE_MS);
    const size = 20 * 1024 * 1024;
    for (let i = 0; i < 20; i++) {
      network.record(1000, 1, i);
      network.record(IMAGE, 41, i);
    }
    const before = at(network.times(20), size);
    expect(before).toBeGreaterThan(500);
    for (let i = 0; i < 20; i++) network.recordAtMost(size, 5000, 20 + i);
    expect(at(network.times(40), size)).toBeCloseTo(before, 4);
    for (let i = 0; i < 20; i++) network.recordAtMost(size, 100, 40 + i);
    expect(at(network.times(60), size)).toBeLessThan(200);
    expect(at(network.times(60), size)).toBeGreaterThan(99);
  });

  test('a few slow ones of a rare size do not make those of a usual one slow', () => {
    const network = networkBySize(HALF_LIFE_MS);
    for (let i = 0; i < 200; i++) network.record(IMAGE, 5, i);
    network.record(10_000, 400, 200);
    network.record(10_000, 400, 201);
    expect(at(network.times(201), IMAGE)).toBeLessThan(10);
  });
});
