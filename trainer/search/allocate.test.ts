import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Pair } from '../pairs/pair.ts';
import { alignWidths, allocateLevels, evenGrid, sizeAt } from './allocate.ts';
import { randomSource, shuffledRange } from './random.ts';
import { indexUnits, orderByPair } from './units.ts';

function pairOf(units: number, flopsPerUnit: number): Pair {
  return {
    name: `pair${units}`,
    kind: 'sequential',
    heads: 1,
    units,
    flopsPerUnit,
    paramsPerUnit: 10,
    unitAxes: [],
    maskSites: [],
    producers: [],
    consumers: [],
  };
}

const models = fc.record({
  pairs: fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 50 })), {
    minLength: 1,
    maxLength: 5,
  }),
  fixed: fc.integer({ min: 0, max: 100 }),
  levels: fc.integer({ min: 2, max: 16 }),
  lowest: fc.double({ min: 0.05, max: 0.9, noNaN: true }),
  seed: fc.nat(),
});

describe('level allocation', () => {
  test('levels are nested, end dense, keep a unit a pair and stay under their share wherever that is possible', () => {
    fc.assert(
      fc.property(models, ({ pairs: shapes, fixed, levels, lowest, seed }) => {
        const pairs = shapes.map(([units, flops]) => pairOf(units, flops));
        const { total } = indexUnits(pairs);
        const flops = fixed + pairs.reduce((sum, pair) => sum + pair.units * pair.flopsPerUnit, 0);
        const order = shuffledRange(randomSource(seed, 1, 0), total);
        const shares = evenGrid(levels, lowest);
        const widths = allocateLevels(pairs, order, flops, shares);
        const floor = sizeAt(
          pairs,
          pairs.map(() => 1),
          { flops, params: 0 },
        ).flops;
        expect(widths.at(-1)).toEqual(pairs.map((pair) => pair.units));
        for (const [level, row] of widths.entries()) {
          for (const [p, width] of row.entries()) {
            expect(width).toBeGreaterThanOrEqual(Math.max(1, widths[level - 1]?.[p] ?? 0));
          }
          const used = sizeAt(pairs, row, { flops, params: 0 }).flops;
          expect(used).toBeLessThanOrEqual(Math.max(floor, shares[level]! * flops) + 1e-6);
        }
      }),
    );
  });

  test('aligned widths are multiples or whole pairs, stay nested and move by at most the multiple', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.integer({ min: 1, max: 90 }), fc.array(fc.nat(89), { minLength: 3, maxLength: 3 })),
          {
            minLength: 1,
          },
        ),
        fc.integer({ min: 1, max: 16 }),
        (shapes, multiple) => {
          const pairs = shapes.map(([units]) => ({ units }));
          const rows = [0, 1, 2].map((level) =>
            shapes.map(([units, draws]) => 1 + (draws.toSorted((a, b) => a - b)[level]! % units)),
          );
          const nested = rows.map((row, level) =>
            row.map((_, p) => Math.max(...rows.slice(0, level + 1).map((each) => each[p]!))),
          );
          for (const [level, row] of alignWidths(pairs, nested, multiple).entries())
            for (const [p, width] of row.entries()) {
              const { units } = pairs[p]!;
              expect(width % multiple === 0 || width === units || units <= multiple).toBe(true);
              expect(width).toBeLessThanOrEqual(units);
              expect(Math.abs(width - nested[level]![p]!)).toBeLessThan(Math.max(2, multiple));
              const below = alignWidths(pairs, nested, multiple)[level - 1]?.[p] ?? 0;
              expect(width).toBeGreaterThanOrEqual(below);
            }
        },
      ),
    );
  });

  test('takes units in path order', () => {
    const pairs = [pairOf(3, 10), pairOf(3, 10)];
    expect(allocateLevels(pairs, [0, 1, 2, 3, 4, 5], 60, [0.5, 1])).toEqual([
      [2, 1],
      [3, 3],
    ]);
    expect(orderByPair(indexUnits(pairs), [5, 0, 3, 1, 4, 2])).toEqual([
      [0, 1, 2],
      [2, 0, 1],
    ]);
  });
});
