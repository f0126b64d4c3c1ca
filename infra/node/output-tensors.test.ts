import { describe, expect, test } from 'vitest';
import type { Port } from '../../schema/manifest.ts';
import { selectOutputs, unpackOutputs } from './output-tensors.ts';

describe('outputs', () => {
  const outputs: Port[] = [
    { name: 'a', datatype: 'FP32', shape: [-1] },
    { name: 'b', datatype: 'INT64', shape: [-1] },
  ];

  const names = (request: Parameters<typeof selectOutputs>[1]) =>
    selectOutputs(outputs, request).map(({ name }) => name);

  test('are all computed unless some are asked for, then those in that order', () => {
    expect(names({})).toEqual(['a', 'b']);
    expect(names({ outputs: [] })).toEqual(['a', 'b']);
    expect(names({ outputs: [{ name: 'b' }] })).toEqual(['b']);
  });

  test.each([
    [[{ name: 'c' }], /no output "c"/],
    [[{ name: 'a' }, { name: 'a' }], /twice/],
    [[{ name: 'a', parameters: { binary_data: 1 } }], /binary_data 1/],
    [[{ name: 'a', parameters: { classification: 3 } }], /classification/],
    [[{ name: 'a', parameters: { shared_memory_region: 'r', shared_memory_byte_size: 8 } }], /shared memory/],
  ])('refuses %j', (requested, message) => {
    expect(() => selectOutputs(outputs, { outputs: requested })).toThrow(
      expect.objectContaining({ code: 'bad-request', message: expect.stringMatching(message) }),
    );
  });

  test('are binary where they or all are asked for so, their own word first', () => {
    const asked = (parameters: Record<string, boolean>, own: Record<string, boolean>) =>
      selectOutputs(outputs, { parameters, outputs: [{ name: 'a', parameters: own }, { name: 'b' }] }).map(
        ({ binary }) => binary,
      );
    expect(asked({}, {})).toEqual([false, false]);
    expect(asked({}, { binary_data: true })).toEqual([true, false]);
    expect(asked({ binary_data_output: true }, { binary_data: false })).toEqual([false, true]);
    const all = selectOutputs(outputs, { parameters: { binary_data_output: true } });
    expect(all.map(({ binary }) => binary)).toEqual([true, true]);
  });

  test('that only binary data can carry are refused as JSON before they are computed', () => {
    const half: Port[] = [...outputs, { name: 'h', datatype: 'FP16', shape: [-1] }];
    const refused = expect.objectContaining({
      code: 'bad-request',
      message: expect.stringMatching(/"h" is FP16/),
    });
    expect(() => selectOutputs(half, {})).toThrow(refused);
    expect(() => selectOutputs(half, { outputs: [{ name: 'h' }] })).toThrow(refused);
    expect(selectOutputs(half, { outputs: [{ name: 'a' }] })).toEqual([{ name: 'a', binary: false }]);
    expect(selectOutputs(half, { outputs: [{ name: 'h', parameters: { binary_data: true } }] })).toEqual([
      { name: 'h', binary: true },
    ]);
  });

  test('that are not finite become null and are counted', () => {
    const data = Float32Array.of(1, Number.NaN, Number.POSITIVE_INFINITY);
    const raw = { name: 'a', type: 'float32', dims: [3], data };
    expect(unpackOutputs(outputs, [{ name: 'a', binary: false }], [raw])).toEqual({
      outputs: [
        { name: 'a', datatype: 'FP32', shape: [3], parameters: { non_finite: 2 }, data: [1, null, null] },
      ],
      tails: [],
    });
  });

  test('of 64 bits are written digit by digit', () => {
    const data = BigInt64Array.of(2n ** 53n + 1n, -(2n ** 63n), 7n);
    const raw = { name: 'b', type: 'int64', dims: [3], data };
    const json = unpackOutputs(outputs, [{ name: 'b', binary: false }], [raw]);
    expect(JSON.stringify(json.outputs[0]?.data)).toBe('[9007199254740993,-9223372036854775808,7]');
    const { tails } = unpackOutputs(outputs, [{ name: 'b', binary: true }], [raw]);
    expect(tails).toEqual([new Uint8Array(data.buffer)]);
  });
});
