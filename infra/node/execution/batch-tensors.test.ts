import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cutOutputs, joinFeeds } from './batch-tensors.ts';

const feeds = (rows: number, first: number) => [
  {
    name: 'x',
    type: 'float32',
    dims: [rows, 2],
    data: Float32Array.from({ length: 2 * rows }, (_, i) => first + i),
  },
  { name: 'token', type: 'int64', dims: [rows], data: new BigInt64Array(rows).fill(BigInt(first)) },
];

describe('tensors of several requests', () => {
  test('are joined port by port and keep their own arrays', () => {
    const [one, two] = [feeds(1, 10), feeds(2, 20)];
    expect(joinFeeds([one, two])).toEqual([
      { name: 'x', type: 'float32', dims: [3, 2], data: Float32Array.of(10, 11, 20, 21, 22, 23) },
      { name: 'token', type: 'int64', dims: [3], data: BigInt64Array.of(10n, 20n, 20n) },
    ]);
    expect(joinFeeds([one])[0]?.data.buffer).not.toBe(one[0]?.data.buffer);
  });

  test('come apart as they were joined', () => {
    const rows = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(rows, (counts) => {
        const requests = counts.map((count, i) => feeds(count, 100 * i));
        expect(cutOutputs(joinFeeds(requests), counts)).toEqual(requests);
      }),
    );
  });

  test('leave nothing of what was in their memory before, where sequences are filled up', () => {
    const tokens = (...ids: bigint[]) => [
      { name: 'ids', type: 'int64', dims: [1, ids.length], data: BigInt64Array.from(ids) },
    ];
    const padded = { inputs: new Set(['ids']), outputs: new Set<string>() };
    const used = (bytes: number) => new Uint8Array(bytes).fill(7).buffer;
    const [joined] = joinFeeds([tokens(1n, 2n, 3n), tokens(4n)], padded, used);
    expect(joined).toEqual({
      name: 'ids',
      type: 'int64',
      dims: [2, 3],
      data: BigInt64Array.of(1n, 2n, 3n, 4n, 0n, 0n),
    });
  });

  test('are not cut where an output has another leading dimension', () => {
    const pooled = { name: 'p', type: 'float32', dims: [1, 3], data: Float32Array.of(1, 2, 3) };
    expect(cutOutputs([pooled], [1, 2])).toBeUndefined();
    expect(cutOutputs([{ ...pooled, dims: [] }], [1])).toBeUndefined();
  });
});
