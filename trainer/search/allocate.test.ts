import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Pair } from '../pairs/pair.ts';
import { alignWidths, allocateLevels, distinctLevels, evenGrid, sizeAt } from './allocate.ts';
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
        const dense = { flops, params: 0, shared: [] };
        const order = shuffledRange(randomSource(seed, 1, 0), total);
        const shares = evenGrid(levels, lowest);
        const widths = allocateLevels(pairs, order, dense, shares);
        const floor = sizeAt(
          pairs,
          pairs.map(() => 1),
          dense,
        ).flops;
        expect(widths.at(-1)).toEqual(pairs.map((pair) => pair.units));
        for (const [level, row] of widths.entries()) {
          for (const [p, width] of row.entries()) {
            expect(width).toBeGreaterThanOrEqual(Math.max(1, widths[level - 1]?.[p] ?? 0));
          }
          const used = sizeAt(pairs, row, dense).flops;
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

  test('a linear between two pairs keeps the product of their shares, and levels count it so', () => {
    const width = fc.integer({ min: 1, max: 12 });
    fc.assert(
      fc.property(fc.tuple(width, width, width, width), fc.nat(), ([inputs, a, b, outputs], seed) => {
        // [inputs, a] [a, b] [b, outputs], one FLOP and one parameter an element.
        const size = (left: number, right: number) => inputs * left + left * right + right * outputs;
        const pair = (units: number, perUnit: number): Pair => ({
          ...pairOf(units, perUnit),
          paramsPerUnit: perUnit,
        });
        const pairs = [pair(a, inputs + b), pair(b, a + outputs)];
        const all = size(a, b);
        const dense = { flops: all, params: all, shared: [{ pairs: [0, 1], flops: a * b, params: a * b }] };
        for (const [left, right] of [
          [1, 1],
          [Math.ceil(a / 2), b],
          [a, Math.ceil(b / 3)],
          [0, 0],
        ] as const) {
          const found = sizeAt(pairs, [left, right], dense);
          expect(found.flops).toBeCloseTo(size(left, right), 6);
          expect(found.params).toBeCloseTo(size(left, right), 6);
        }
        const order = shuffledRange(randomSource(seed, 1, 0), a + b);
        for (const [level, row] of allocateLevels(pairs, order, dense, [0.3, 0.6, 1]).entries()) {
          const [left = 0, right = 0] = row;
          const most = Math.max(size(1, 1), ([0.3, 0.6, 1][level] ?? 1) * all);
          expect(size(left, right)).toBeLessThanOrEqual(most + 1e-6);
        }
      }),
    );
  });

  test('takes units in path order', () => {
    const pairs = [pairOf(3, 10), pairOf(3, 10)];
    expect(allocateLevels(pairs, [0, 1, 2, 3, 4, 5], { flops: 60, params: 0, shared: [] }, [0.5, 1])).toEqual(
      [
        [2, 1],
        [3, 3],
      ],
    );
    expect(orderByPair(indexUnits(pairs), [5, 0, 3, 1, 4, 2])).toEqual([
      [0, 1, 2],
      [2, 0, 1],
    ]);
  });

  test('of levels that keep the same units the last one stays, so that the dense one does; two stay in any case', () => {
    expect(
      distinctLevels([
        [1, 2],
        [1, 2],
        [2, 2],
        [4, 8],
        [4, 8],
      ]),
    ).toEqual([1, 2, 4]);
    expect(distinctLevels([[1], [1]])).toEqual([0, 1]);
  });
});
