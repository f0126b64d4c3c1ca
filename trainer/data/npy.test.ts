import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SppError } from '../../schema/errors.ts';
import type { Tensor } from '../graph/graph.ts';
import { checkNpyLength, npyArray, npyEndsEarly, npyHeader } from './npy.ts';
import { npyBytes } from './npy-file.fixture.ts';
import { memoryRows } from './rows.ts';

/** numpy.save of numpy.array([[1.5, -2], [0, 3]], dtype='float32'), NumPy 2.4, byte for byte. */
const NUMPY_FLOAT32 =
  'k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDIpLCB9ICAg' +
  'ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAMA/AAAAwAAAAAAAAEBA';

function parseNpy(bytes: Uint8Array, source: string): Tensor {
  const header = npyHeader(bytes, source);
  if (header === undefined) throw npyEndsEarly(source);
  checkNpyLength(header, bytes.length - header.start, source);
  const rows = memoryRows(bytes.subarray(header.start), header.rowBytes);
  return npyArray(header, rows).take(Array.from({ length: header.dims[0] ?? 0 }, (_, i) => i));
}

describe('NPY files', () => {
  test("reads NumPy's own", () => {
    const tensor = parseNpy(Buffer.from(NUMPY_FLOAT32, 'base64'), 'x.npy');
    expect(tensor).toEqual({ dtype: 'float32', dims: [2, 2], data: Float32Array.of(1.5, -2, 0, 3) });
  });

  test('reads int64 of any shape', () => {
    fc.assert(
      fc.property(
        fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { maxLength: 12 }),
        (values) => {
          const data = BigInt64Array.from(values);
          for (const dims of [[values.length], [1, values.length], [values.length, 1, 1]]) {
            expect(parseNpy(npyBytes('<i8', dims, data), 'x')).toEqual({ dtype: 'int64', dims, data });
          }
        },
      ),
    );
  });

  test.each([
    ['bytes', '|u1', Uint8Array.of(0, 255), 'uint8', Uint8Array.of(0, 255)],
    ['signed bytes', '|i1', Int8Array.of(-128, 127), 'int32', Int32Array.of(-128, 127)],
    ['shorts', '<i2', Int16Array.of(-32768, 5), 'int32', Int32Array.of(-32768, 5)],
    ['unsigned shorts', '<u2', Uint16Array.of(65535, 5), 'int32', Int32Array.of(65535, 5)],
    ['doubles', '<f8', Float64Array.of(Math.PI, -0), 'float64', Float64Array.of(Math.PI, -0)],
    ['booleans', '|b1', Uint8Array.of(1, 0), 'bool', Uint8Array.of(1, 0)],
  ] as const)('reads %s', (_, descr, data, dtype, wanted) => {
    expect(parseNpy(npyBytes(descr, [2], data), 'x')).toEqual({ dtype, dims: [2], data: wanted });
  });

  test.each([
    ['another file', new TextEncoder().encode('PK something else'), /not an NPY file/],
    ['a cut-off file', Buffer.from(NUMPY_FLOAT32, 'base64').subarray(0, -3), /16 bytes, but holds 13/],
    ['a cut-off header', Buffer.from(NUMPY_FLOAT32, 'base64').subarray(0, 40), /ends within its header/],
    ['objects', npyBytes('|O', [1], Uint8Array.of(1)), /type \|O/],
    ['big-endian numbers', npyBytes('>f4', [1], Uint8Array.of(0, 0, 0, 0)), /type >f4/],
    ['column-major order', npyBytes('<f4', [1], Float32Array.of(1), true), /column-major/],
  ])('refuses %s by name', (_, bytes, message) => {
    expect(() => parseNpy(bytes, 'a.npy')).toThrow(message);
    expect(() => parseNpy(bytes, 'a.npy')).toThrow(/^a\.npy/);
  });

  test('damaged files are read or refused, never anything else', () => {
    const whole = Buffer.from(NUMPY_FLOAT32, 'base64');
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (place, byte) => {
        const bytes = Uint8Array.from(whole);
        bytes[place] = byte;
        try {
          parseNpy(bytes, 'x');
        } catch (error) {
          expect(error).toBeInstanceOf(SppError);
        }
      }),
    );
  });
});
