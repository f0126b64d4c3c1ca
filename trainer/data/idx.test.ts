import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SppError } from '../../schema/errors.ts';
import { parseIdx } from './idx.ts';

function idxBytes(dims: readonly number[], data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * dims.length + data.length);
  bytes.set([0, 0, 8, dims.length]);
  const view = new DataView(bytes.buffer);
  for (const [i, dim] of dims.entries()) view.setUint32(4 + 4 * i, dim);
  bytes.set(data, 4 + 4 * dims.length);
  return bytes;
}

describe('IDX files', () => {
  test('reads what was written', () => {
    const array = parseIdx(idxBytes([2, 3], Uint8Array.of(1, 2, 3, 4, 5, 255)), 'x');
    expect(array.dims).toEqual([2, 3]);
    expect([...array.data]).toEqual([1, 2, 3, 4, 5, 255]);
  });

  test.each([
    ['a file of something else', new TextEncoder().encode('not an idx file'), /not an IDX file/],
    ['an empty file', new Uint8Array(0), /not an IDX file/],
    ['another element type', Uint8Array.of(0, 0, 13, 1, 0, 0, 0, 0), /type 0xd/],
    ['a header that is cut off', Uint8Array.of(0, 0, 8, 3, 0, 0), /ends within/],
    ['data that is cut off', idxBytes([4], Uint8Array.of(1, 2)), /which is 4 bytes, but holds 2/],
  ])('refuses %s by name', (_, bytes, message) => {
    expect(() => parseIdx(bytes, 'some/file')).toThrow(message);
    expect(() => parseIdx(bytes, 'some/file')).toThrow(/some\/file/);
  });

  test('random bytes are read or refused, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          parseIdx(bytes, 'x');
        } catch (error) {
          expect(error).toBeInstanceOf(SppError);
        }
      }),
    );
  });
});
