import fc from 'fast-check';
import { expect, test } from 'vitest';
import { gather, RowWriter } from './rows.ts';

test.each([
  ['in memory', 1 << 20],
  ['in a file', 64],
])('rows come back as they were written, %s', (_, kept) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 97 }),
      fc.infiniteStream(fc.nat()),
      (rowBytes, count, piece, draws) => {
        const bytes = Uint8Array.from({ length: rowBytes * count }, (_, i) => (i * 31) % 251);
        const writer = new RowWriter(rowBytes, kept);
        for (let at = 0; at < bytes.length; at += piece) writer.write(bytes.subarray(at, at + piece));
        const rows = writer.finish();
        expect(rows.count).toBe(count);
        const indices = Array.from({ length: 20 }, () => (draws.next().value as number) % count);
        const wanted = indices.flatMap((index) => [
          ...bytes.subarray(index * rowBytes, (index + 1) * rowBytes),
        ]);
        expect([...gather(rows, rowBytes, indices)]).toEqual(wanted);
        expect([...rows.range(0, count)]).toEqual([...bytes]);
      },
    ),
    { numRuns: 30 },
  );
});

test('pieces larger than what is buffered keep their order', () => {
  const writer = new RowWriter(1, 16);
  const large = new Uint8Array(3 << 20).fill(7);
  writer.write(Uint8Array.of(1, 2, 3));
  writer.write(large);
  writer.write(Uint8Array.of(4));
  const rows = writer.finish();
  expect(rows.count).toBe(large.length + 4);
  expect([...rows.range(0, 4)]).toEqual([1, 2, 3, 7]);
  expect([...rows.range(rows.count - 2, 2)]).toEqual([7, 4]);
});
