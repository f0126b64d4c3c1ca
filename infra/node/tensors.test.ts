import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Port } from '../../schema/manifest.ts';
import type { Datatype } from '../../schema/protocol.ts';
import { elementTypes } from './element-types.ts';
import { packInputs, zeroInputs } from './tensors.ts';

const ports: Port[] = [
  { name: 'x', datatype: 'FP32', shape: [-1, 2, 2] },
  { name: 'ids', datatype: 'INT64', shape: [-1] },
];
const x = { name: 'x', datatype: 'FP32' as const, shape: [1, 2, 2], data: [1, 2, 3, 4] as unknown[] };
const ids = { name: 'ids', datatype: 'INT64' as const, shape: [1], data: [7] as unknown[] };

describe('packing inputs', () => {
  test('takes flattened and nested data alike', () => {
    const flat = packInputs(ports, [x, ids]);
    const nested = packInputs(ports, [
      {
        ...x,
        data: [
          [
            [1, 2],
            [3, 4],
          ],
        ],
      },
      ids,
    ]);
    expect(nested).toEqual(flat);
    expect(flat.feeds.map(({ name, type, dims, data }) => [name, type, dims, data])).toEqual([
      ['x', 'float32', [1, 2, 2], Float32Array.of(1, 2, 3, 4)],
      ['ids', 'int64', [1], BigInt64Array.of(7n)],
    ]);
    expect(flat.batch).toBe(1);
  });

  test('orders feeds as the model does, whatever the order of the request', () => {
    expect(packInputs(ports, [ids, x]).feeds.map(({ name }) => name)).toEqual(['x', 'ids']);
  });

  test.each([
    ['a missing input', [x], 'bad-request', /"ids" is missing/],
    ['an unknown input', [x, ids, { ...x, name: 'y' }], 'bad-request', /no input "y"/],
    ['a doubled input', [x, x, ids], 'bad-request', /"x" is given twice/],
    ['another datatype', [{ ...x, datatype: 'FP64' as const }, ids], 'bad-datatype', /"x" is FP64; .* FP32/],
    ['a wrong rank', [{ ...x, shape: [4] }, ids], 'bad-shape', /"x" has the shape \[4\]; .* \[-1, 2, 2\]/],
    ['a wrong fixed dimension', [{ ...x, shape: [1, 2, 3] }, ids], 'bad-shape', /\[1, 2, 3\]/],
    ['a batch of 0', [{ ...x, shape: [0, 2, 2], data: [] }, ids], 'bad-shape', /\[0, 2, 2\]/],
    ['too few elements', [{ ...x, data: [1, 2, 3] }, ids], 'bad-shape', /3 elements where .* 4/],
    ['more than fit any memory', [{ ...x, shape: [2 ** 50, 2, 2] }, ids], 'bad-shape', /4 elements/],
    ['ragged nesting', [{ ...x, data: [[[1, 2], [3]]] }, ids], 'bad-shape', /x\[0\]\[1\] has 1 elements/],
    ['nesting too shallow', [{ ...x, data: [[1, 2]] }, ids], 'bad-shape', /x\[0\]\[0\] is 1 where/],
    [
      'nesting too deep',
      [
        {
          ...x,
          data: [
            [
              [1, 2],
              [3, [4]],
            ],
          ],
        },
        ids,
      ],
      'bad-datatype',
      /Element 3 .* an array/,
    ],
    ['a string element', [{ ...x, data: [1, 2, '3', 4] }, ids], 'bad-datatype', /Element 2 .* "3"; FP32/],
    ['null', [{ ...x, data: [null, 2, 3, 4] }, ids], 'bad-datatype', /Element 0 .* null/],
    ['a float out of range', [{ ...x, data: [1e39, 2, 3, 4] }, ids], 'bad-datatype', /Element 0/],
    ['a fraction for an integer', [x, { ...ids, data: [1.5] }], 'bad-datatype', /"ids" is 1.5; INT64/],
    ['an integer beyond 2^53', [x, { ...ids, data: [2 ** 53] }], 'bad-datatype', /"ids"/],
    [
      'batches that differ',
      [x, { ...ids, shape: [2], data: [1, 2] }],
      'bad-shape',
      /"x" and "ids".* 1 and 2/,
    ],
  ])('refuses %s', (_, inputs, code, message) => {
    expect(() => packInputs(ports, inputs)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  test('takes binary elements as they lie, and copies those that lie askew', () => {
    const body = new Uint8Array(32);
    new Uint8Array(body.buffer, 8, 16).set(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer));
    const { data: _x, ...bare } = x;
    const [feed] = packInputs(ports, [{ ...bare, bytes: body.subarray(8, 24) }, ids]).feeds;
    expect(feed?.data).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(feed?.data.buffer).toBe(body.buffer);
    body.copyWithin(9, 8, 24);
    const [askew] = packInputs(ports, [{ ...bare, bytes: body.subarray(9, 25) }, ids]).feeds;
    expect(askew?.data).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  test('takes halves as binary data only, and no strings', () => {
    const half: Port[] = [{ name: 'h', datatype: 'FP16', shape: [-1] }];
    const given = { name: 'h', datatype: 'FP16' as const, shape: [2] };
    expect(packInputs(half, [{ ...given, bytes: Uint8Array.of(0, 0x3c, 0, 0xc0) }]).feeds).toEqual([
      { name: 'h', type: 'float16', dims: [2], data: Uint16Array.of(0x3c00, 0xc000) },
    ]);
    expect(() => packInputs(half, [{ ...given, data: [1, -2] }])).toThrow(/JSON cannot carry/);
    const text: Port[] = [{ name: 't', datatype: 'BYTES', shape: [-1] }];
    const string = { name: 't', datatype: 'BYTES' as const, shape: [1], bytes: new Uint8Array(5) };
    expect(() => packInputs(text, [string])).toThrow(expect.objectContaining({ code: 'bad-datatype' }));
  });

  test('makes a batch-1 input of zeros for any ports', () => {
    const zeros = zeroInputs([...ports, { name: 'mask', datatype: 'BOOL', shape: [-1, -1] }]);
    expect(zeros.feeds.map(({ dims, data }) => [dims, [...data]])).toEqual([
      [
        [1, 2, 2],
        [0, 0, 0, 0],
      ],
      [[1], [0n]],
      [[1, 1], [0]],
    ]);
  });
});

describe('element types', () => {
  const integers = (bits: number, signed: boolean) =>
    fc.integer({ min: signed ? -(2 ** (bits - 1)) : 0, max: 2 ** (signed ? bits - 1 : bits) - 1 });
  const values: Partial<Record<Datatype, fc.Arbitrary<unknown>>> = {
    BOOL: fc.boolean(),
    UINT8: integers(8, false),
    UINT16: integers(16, false),
    UINT32: integers(32, false),
    UINT64: fc.maxSafeNat(),
    INT8: integers(8, true),
    INT16: integers(16, true),
    INT32: integers(32, true),
    INT64: fc.maxSafeInteger(),
    FP32: fc.float({ noNaN: true, noDefaultInfinity: true }),
    FP64: fc.double({ noNaN: true, noDefaultInfinity: true }),
  };

  test('cover every datatype that the table says JSON carries', () => {
    const carried = Object.entries(elementTypes).filter(([, type]) => type !== null);
    expect(carried.map(([name]) => name).sort()).toEqual(Object.keys(values).sort());
  });

  test.each(Object.entries(values))('%s comes back as it went in', (datatype, value) => {
    const type = elementTypes[datatype as Datatype]!;
    fc.assert(
      fc.property(fc.array(value), (elements) => {
        const packed = type.pack(elements);
        if ('fault' in packed) throw new Error(`refused ${elements[packed.fault]}`);
        expect(Array.from<number | bigint, unknown>(packed.data, (element) => type.toJson(element))).toEqual(
          elements,
        );
      }),
    );
  });

  test.each([
    ['UINT8', 256],
    ['UINT8', -1],
    ['INT8', 128],
    ['INT16', -32_769],
    ['UINT32', 2 ** 32],
    ['UINT64', -1],
    ['BOOL', 1],
    ['FP64', Number.POSITIVE_INFINITY],
  ] as const)('%s refuses %d', (datatype, value) => {
    expect(elementTypes[datatype]?.pack([value])).toEqual({ fault: 0 });
  });
});
