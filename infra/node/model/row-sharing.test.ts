/** Models as plain functions: which of them let rows meet. */
import { describe, expect, test } from 'vitest';
import type { Datatype } from '../../../schema/protocol.ts';
import { LEAST, type PackedInputs, type RawTensor } from '../tensors.ts';
import { meetingRows } from './row-sharing.ts';

const port = (datatype: Datatype = 'FP32') => ({ name: 'x', datatype, shape: [-1, 3] });
const output = (dims: number[], data: RawTensor['data'], type = 'float32'): RawTensor => ({
  name: 'y',
  type,
  dims,
  data,
});
const tried = (model: (x: RawTensor, rows: number) => RawTensor, datatype?: Datatype) =>
  meetingRows({ inputs: [port(datatype)] }, LEAST, async ({ feeds, batch }: PackedInputs) => [
    model(feeds[0]!, batch),
  ]);
const sums = ({ data }: RawTensor) =>
  Float32Array.from({ length: data.length / 3 }, (_, row) =>
    Array.from(data.subarray(3 * row, 3 * row + 3), Number).reduce((sum, value) => sum + value, 0),
  );

describe('rows', () => {
  test.each(['FP32', 'FP16', 'INT64', 'UINT8', 'BOOL'] as const)(
    'of %s differ, and stand apart',
    async (type) => {
      const seen = new Set<string>();
      const reason = await tried((x, rows) => {
        for (let row = 0; row < rows; row++) seen.add(x.data.subarray(3 * row, 3 * row + 3).join());
        return output([rows], sums(x));
      }, type);
      expect(reason).toBeUndefined();
      expect(seen.size).toBe(2);
    },
  );

  test('stand apart where the last bits follow the size of the batch', async () => {
    expect(
      await tried((x, rows) =>
        output(
          [rows],
          sums(x).map((sum) => sum * (1 + rows * 1e-6)),
        ),
      ),
    ).toBeUndefined();
  });

  test('stand apart where what they give is not a number', async () => {
    expect(await tried((_, rows) => output([rows], new Float32Array(rows).fill(Number.NaN)))).toBeUndefined();
  });

  test('of half floats stand apart where the last bits follow the size of the batch, about nought too', async () => {
    // 1 and next to nothing, of either sign.
    const halves = (rows: number) =>
      Array.from({ length: rows }, () => [0x3c00 + rows, rows === 1 ? 0 : 0x8001]);
    const model = (_: RawTensor, rows: number) =>
      output([rows, 2], Uint16Array.from(halves(rows).flat()), 'float16');
    expect(await tried(model)).toBeUndefined();
    const half = (_: RawTensor, rows: number) =>
      output([rows], new Uint16Array(rows).fill(rows === 1 ? 0x3c00 : 0x3c40), 'float16');
    expect(await tried(half)).toMatch(/^y has other values/);
  });

  test.each([
    ['int32', Int32Array.from([1000]), Int32Array.from([1000, 1001])],
    ['int64', BigInt64Array.from([9_007_199_254_740_993n]), BigInt64Array.from([9_007_199_254_740_992n, 0n])],
    ['bool', Uint8Array.from([1]), Uint8Array.from([1, 0])],
  ])('meet where whole numbers (%s) differ by one', async (type, one, two) => {
    const reason = await tried((_, rows) => output([rows], rows === 1 ? one : two, type));
    expect(reason).toMatch(/^y has other values for two rows together/);
  });

  test('meet where each is compared with all', async () => {
    const all = (x: RawTensor, rows: number) =>
      output(
        [rows, rows],
        Float32Array.from([...sums(x)].flatMap((one) => [...sums(x)].map((other) => one * other))),
      );
    expect(await tried(all)).toBe('y is [2,2] for two rows and [1,1] for one');
  });

  test('meet where values are taken relative to those of the batch', async () => {
    const centred = (x: RawTensor, rows: number) => {
      const mean = sums(x).reduce((sum, value) => sum + value, 0) / rows;
      return output(
        [rows],
        sums(x).map((value) => value - mean),
      );
    };
    expect(await tried(centred)).toMatch(/^y has other values for two rows together/);
  });

  test('meet where two rows give one', async () => {
    expect(await tried((x) => output([1], sums(x).slice(0, 1)))).toBe(
      'y is [1] for two rows and [1] for one',
    );
  });
});
