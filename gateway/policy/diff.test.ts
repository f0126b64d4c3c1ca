import fc from 'fast-check';
import { expect, test } from 'vitest';
import { diff } from './diff.ts';

test('names what was changed, added and taken away', () => {
  const from = { a: 1, b: { c: [1, { d: 2 }] }, e: null, same: [1] };
  const to = { a: 2, b: { c: [1, { d: 3 }, 4] }, f: 5, same: [1] };
  expect(diff(from, to)).toEqual([
    { path: 'a', from: 1, to: 2 },
    { path: 'b.c[1].d', from: 2, to: 3 },
    { path: 'b.c[2]', to: 4 },
    { path: 'e', from: null },
    { path: 'f', to: 5 },
  ]);
  expect(diff({ a: [] }, { a: {} })).toEqual([{ path: 'a', from: [], to: {} }]);
});

test('equal documents differ in nothing, and others in something', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      expect(diff(a, structuredClone(a))).toEqual([]);
      const same = JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
      // An empty list and an empty object aside, a difference has a path.
      expect(diff(a, b).length > 0).toBe(!same);
    }),
  );
});

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return Object.is(value, -0) ? '-0' : value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}
