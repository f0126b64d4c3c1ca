import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeTensor } from '../../../schema/artifact/layout.ts';
import { unitsFirst } from './shared-layout.ts';

describe('units first', () => {
  test('level by level, gives the rows that turning the whole tensor gives', () => {
    const small = fc.integer({ min: 1, max: 4 });
    fc.assert(
      fc.property(
        fc.record({ before: small, outer: small, inner: small, after: small }),
        fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        ({ before, outer, inner, after }, steps, lead) => {
          const widths = steps.toSorted((a, b) => a - b).map((width) => [width + 1]);
          const units = widths.at(-1)![0]!;
          const [dims, axis] = lead
            ? [[outer * units * inner, after], 0]
            : [[before, outer * units * inner, after], 1];
          const tensor = { name: 'w', dims, unitAxes: [{ axis, pair: 0, outer, inner }] };
          const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => i);
          const rows = encodeTensor(tensor, widths, data).flatMap((part, level) => [
            ...unitsFirst(tensor, part, widths[level]![0]! - (widths[level - 1]?.[0] ?? 0)),
          ]);
          // The definition, element by element.
          const wanted: number[] = [];
          const b = lead ? 1 : before;
          for (let u = 0; u < units; u++)
            for (let o = 0; o < outer; o++)
              for (let i = 0; i < inner; i++)
                for (let p = 0; p < b; p++)
                  for (let q = 0; q < after; q++)
                    wanted.push((((p * outer + o) * units + u) * inner + i) * after + q);
          expect(rows).toEqual(wanted);
        },
      ),
      { numRuns: 200 },
    );
  });
});
