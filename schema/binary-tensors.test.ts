import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { binaryParts, bytesOf, elementsOf, joinBody, splitBody, type TensorArray } from './binary-tensors.ts';
import { type Datatype, datatypes } from './protocol.ts';

const sized = Object.entries(datatypes).flatMap(([name, width]) =>
  width === null ? [] : [[name as Datatype, width] as const],
);

/** How an element of each type is read from bytes, by the platform's own little-endian reader. */
const readers: Record<string, (view: DataView, at: number) => number | bigint> = {
  BOOL: (view, at) => view.getUint8(at),
  UINT8: (view, at) => view.getUint8(at),
  UINT16: (view, at) => view.getUint16(at, true),
  UINT32: (view, at) => view.getUint32(at, true),
  UINT64: (view, at) => view.getBigUint64(at, true),
  INT8: (view, at) => view.getInt8(at),
  INT16: (view, at) => view.getInt16(at, true),
  INT32: (view, at) => view.getInt32(at, true),
  INT64: (view, at) => view.getBigInt64(at, true),
  FP16: (view, at) => view.getUint16(at, true),
  FP32: (view, at) => view.getFloat32(at, true),
  FP64: (view, at) => view.getFloat64(at, true),
};

describe('a tensor in binary form', () => {
  test.each(sized)('of %s is what a little-endian reader sees, wherever its bytes lie', (datatype, width) => {
    const byte = datatype === 'BOOL' ? fc.integer({ min: 0, max: 1 }) : fc.integer({ min: 0, max: 255 });
    fc.assert(
      fc.property(fc.nat(6), fc.nat(9), fc.infiniteStream(byte), (count, offset, source) => {
        const body = new Uint8Array(offset + count * width);
        for (const [i, value] of [...source.take(body.length)].entries()) body[i] = value;
        const bytes = body.subarray(offset);
        const elements = elementsOf('x', datatype, count, bytes);
        const view = new DataView(body.buffer, offset);
        expect([...elements]).toEqual(
          Array.from({ length: count }, (_, i) => readers[datatype]!(view, i * width)),
        );
        expect(elements.buffer === body.buffer).toBe(offset % width === 0);
        expect([...bytesOf(elements)]).toEqual([...bytes]);
      }),
    );
  });

  test.each([
    ['FP32', 2, 7, 'bad-shape', /"x" has 7 bytes .* 8/],
    ['INT64', 2, 17, 'bad-shape', /"x" has 17 bytes .* 16/],
    ['FP32', 2 ** 60, 8, 'bad-shape', /"x"/],
    ['BYTES', 1, 5, 'bad-datatype', /"x" is BYTES/],
  ] as const)('of %s with %d elements in %d bytes is refused', (datatype, count, size, code, message) => {
    expect(() => elementsOf('x', datatype, count, new Uint8Array(size))).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  test('of BOOL holds nothing but 0 and 1', () => {
    expect(() => elementsOf('x', 'BOOL', 3, Uint8Array.of(0, 1, 2))).toThrow(/Byte 2 .* "x" is 2/);
  });
});

describe('a body', () => {
  test('comes apart as it was put together', () => {
    const tails = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 5 });
    fc.assert(
      fc.property(tails, fc.string({ unit: 'binary' }), (parts, id) => {
        const inputs = parts.map((part, i) => ({
          name: `t${i}`,
          parameters: { binary_data_size: part.length },
        }));
        const header = { id: id.toWellFormed(), inputs };
        const { body, headerLength } = joinBody(header, parts);
        const { json, tail } = splitBody(body, String(headerLength));
        expect(JSON.parse(new TextDecoder().decode(json))).toEqual(header);
        expect(binaryParts(inputs, tail).map((part) => [...(part ?? [])])).toEqual(
          parts.map((part) => [...part]),
        );
      }),
    );
  });

  test('is JSON throughout where no length is given', () => {
    const body = new TextEncoder().encode('{}');
    const { json, tail } = splitBody(body, null);
    expect([json.length, tail.length]).toEqual([2, 0]);
  });

  test.each(['', '-1', '1.5', '3', '0x1', '1e0', '9999999999999999999', 'two', '1, 1'])(
    'of 2 bytes has no JSON object of length %j',
    (length) => {
      expect(() => splitBody(new Uint8Array(2), length)).toThrow(
        expect.objectContaining({ code: 'bad-header' }),
      );
    },
  );

  const sizes = (...given: unknown[]) =>
    given.map((size, i) => ({ name: `t${i}`, parameters: { binary_data_size: size } }));
  test.each([
    ['more bytes than there are', sizes(4, 5), /"t1" has the binary_data_size 5, but 4 bytes/],
    ['fewer bytes than there are', sizes(4, 3), /1 bytes follow the last tensor; .* 7/],
    ['a negative size', sizes(-1, 9), /"t0" has the binary_data_size -1/],
    ['a fraction', sizes(4, 3.5), /"t1" has the binary_data_size 3.5/],
    ['a text', sizes('8'), /"t0" has the binary_data_size "8"/],
    ['true', sizes(true), /"t0" has the binary_data_size true/],
    ['no elements at all', [{ name: 't0' }], /"t0" has neither/],
    ['elements twice', [{ name: 't0', data: [1], parameters: { binary_data_size: 8 } }], /"t0" has both/],
  ])('whose tensors claim %s is refused', (_, tensors, message) => {
    expect(() => binaryParts(tensors, new Uint8Array(8))).toThrow(
      expect.objectContaining({ code: 'bad-request', message: expect.stringMatching(message) }),
    );
  });

  test('keeps elements given as JSON out of the bytes behind it', () => {
    const parts = binaryParts([{ name: 'a', data: [1] }, ...sizes(2)], Uint8Array.of(7, 8));
    expect(parts.map((part) => part && [...part])).toEqual([undefined, [7, 8]]);
  });
});

test('every array type is one that elements can be read as', () => {
  const made: TensorArray[] = sized.map(([datatype]) => elementsOf('x', datatype, 0, new Uint8Array(0)));
  expect(made.map(({ length }) => length)).toEqual(sized.map(() => 0));
});
