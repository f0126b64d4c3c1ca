import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseRange } from './byte-range.ts';

test.each([
  ['bytes=0-0', { offset: 0, length: 1 }],
  ['bytes=2-5', { offset: 2, length: 4 }],
  ['bytes=2-', { offset: 2, length: 8 }],
  ['bytes=-3', { offset: 7, length: 3 }],
  ['bytes=-30', { offset: 0, length: 10 }],
  ['bytes=5-99', { offset: 5, length: 5 }],
])('%s of 10 bytes', (header, range) => {
  expect(parseRange(header, 10)).toEqual(range);
});

test.each([null, '', 'bytes=', 'bytes=-', 'bytes=5-2', 'bytes=0-1,4-5', 'lines=1-2', 'bytes=a-b'])(
  '%s asks for no range',
  (header) => {
    expect(parseRange(header, 10)).toBeUndefined();
  },
);

test.each(['bytes=10-', 'bytes=10-20', 'bytes=-0'])('%s cannot be satisfied from 10 bytes', (header) => {
  expect(() => parseRange(header, 10)).toThrow(
    expect.objectContaining({ code: 'range-not-satisfiable', status: 416 }),
  );
});

test('a range never leaves the file', () => {
  fc.assert(
    fc.property(fc.nat(50), fc.nat(50), fc.integer({ min: 1, max: 40 }), (first, last, size) => {
      fc.pre(first < size);
      const range = parseRange(`bytes=${first}-${last}`, size);
      if (range === undefined) expect(last).toBeLessThan(first);
      else expect(range).toEqual({ offset: first, length: Math.min(last, size - 1) - first + 1 });
    }),
  );
});
