import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ManifestTensor } from '../manifest.ts';
import { decodeTensor, encodeTensor, levelDims, type WidthsByLevel } from './layout.ts';

/** Reads level `top` out of the dense tensor by index arithmetic alone, without the walk under test. */
function cutByIndex(
  tensor: ManifestTensor,
  widths: readonly number[],
  units: readonly number[],
  dense: Float32Array,
): number[] {
  const dims = levelDims(tensor, widths);
  const total = dims.reduce((a, b) => a * b, 1);
  const out: number[] = [];
  for (let flat = 0; flat < total; flat++) {
    let rest = flat;
    const index = dims.map(() => 0);
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      index[axis] = rest % dims[axis]!;
      rest = Math.floor(rest / dims[axis]!);
    }
    let source = 0;
    for (const [axis, i] of index.entries()) {
      const unit = tensor.unitAxes.find((candidate) => candidate.axis === axis);
      let at = i;
      if (unit) {
        const width = widths[unit.pair]!;
        const inner = i % unit.inner;
        const u = Math.floor(i / unit.inner) % width;
        const outer = Math.floor(i / unit.inner / width);
        at = (outer * units[unit.pair]! + u) * unit.inner + inner;
      }
      source = source * tensor.dims[axis]! + at;
    }
    out.push(dense[source]!);
  }
  return out;
}

const cases = fc
  .record({
    units: fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 })),
    outer: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
    inner: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })),
    plain: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 0, maxLength: 2 }),
    unitAxes: fc.integer({ min: 0, max: 2 }),
    place: fc.nat(),
    steps: fc.array(fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 })), { minLength: 1, maxLength: 4 }),
  })
  .map(({ units, outer, inner, plain, unitAxes, place, steps }) => {
    const dims = [...plain];
    const axes: ManifestTensor['unitAxes'] = [];
    for (let pair = 0; pair < unitAxes; pair++) {
      const at = place % (dims.length + 1);
      dims.splice(at, 0, outer[pair]! * units[pair]! * inner[pair]!);
      for (const axis of axes) if (axis.axis >= at) axis.axis++;
      axes.push({ axis: at, pair, outer: outer[pair]!, inner: inner[pair]! });
    }
    const tensor: ManifestTensor = { name: 'w', dims, unitAxes: axes };
    const widths: number[][] = [];
    let current = [1, 1];
    for (const step of steps) {
      current = current.map((width, p) => Math.min(units[p]!, width + step[p]!));
      widths.push(current);
    }
    widths.push([...units]);
    return { tensor, units, widths: widths as WidthsByLevel };
  });

describe('path-ordered layout', () => {
  test('every level read from its prefix of chunks equals the dense tensor cut by index', () => {
    fc.assert(
      fc.property(cases, ({ tensor, units, widths }) => {
        const total = tensor.dims.reduce((a, b) => a * b, 1);
        const dense = Float32Array.from({ length: total }, (_, i) => i + 1);
        const parts = encodeTensor(tensor, widths, dense);
        expect(parts.reduce((sum, part) => sum + part.length, 0)).toBe(total);
        for (const [level, row] of widths.entries()) {
          const read = decodeTensor(tensor, widths, level, parts.slice(0, level + 1));
          expect([...read]).toEqual(cutByIndex(tensor, row, units, dense));
        }
      }),
    );
  });

  test('refuses a chunk of the wrong size, naming tensor and level', () => {
    const tensor: ManifestTensor = {
      name: 'w',
      dims: [2, 4],
      unitAxes: [{ axis: 1, pair: 0, outer: 1, inner: 1 }],
    };
    const parts = encodeTensor(tensor, [[2], [4]], new Float32Array(8));
    expect(() => decodeTensor(tensor, [[2], [4]], 1, [parts[0]!, new Float32Array(3)])).toThrow(
      /Level 1 holds 3 elements of w where 4/,
    );
  });
});
