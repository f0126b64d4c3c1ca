/** NPY, NumPy's array file: magic, version, a Python dict literal as header, then the elements (numpy.lib.format). */
import { SppError } from '../../schema/errors.ts';
import { type Dtype, elementCount, type Tensor, type TensorData } from '../graph/graph.ts';

interface ElementType {
  readonly bytes: number;
  readonly dtype: Dtype;
  /** @param view of the elements, little-endian */
  read(view: DataView, count: number): TensorData;
}

/** By `descr`. Small integers are widened: no model takes them as they are. */
const elementTypes: Readonly<Record<string, ElementType>> = {
  '<f4': {
    bytes: 4,
    dtype: 'float32',
    read: (v, n) => Float32Array.from({ length: n }, (_, i) => v.getFloat32(4 * i, true)),
  },
  '<f8': {
    bytes: 8,
    dtype: 'float64',
    read: (v, n) => Float64Array.from({ length: n }, (_, i) => v.getFloat64(8 * i, true)),
  },
  '<i8': {
    bytes: 8,
    dtype: 'int64',
    read: (v, n) => BigInt64Array.from({ length: n }, (_, i) => v.getBigInt64(8 * i, true)),
  },
  '<i4': {
    bytes: 4,
    dtype: 'int32',
    read: (v, n) => Int32Array.from({ length: n }, (_, i) => v.getInt32(4 * i, true)),
  },
  '<i2': {
    bytes: 2,
    dtype: 'int32',
    read: (v, n) => Int32Array.from({ length: n }, (_, i) => v.getInt16(2 * i, true)),
  },
  '<u2': {
    bytes: 2,
    dtype: 'int32',
    read: (v, n) => Int32Array.from({ length: n }, (_, i) => v.getUint16(2 * i, true)),
  },
  '|i1': { bytes: 1, dtype: 'int32', read: (v, n) => Int32Array.from({ length: n }, (_, i) => v.getInt8(i)) },
  '|u1': {
    bytes: 1,
    dtype: 'uint8',
    read: (v, n) => Uint8Array.from({ length: n }, (_, i) => v.getUint8(i)),
  },
  '|b1': { bytes: 1, dtype: 'bool', read: (v, n) => Uint8Array.from({ length: n }, (_, i) => v.getUint8(i)) },
};

const MAGIC = '\x93NUMPY';

/**
 * @param source named in errors
 * @throws `bad-data` when the file is not NPY, is cut off, or holds elements or an order that are not read
 */
export function parseNpy(bytes: Uint8Array, source: string): Tensor {
  const fault = (message: string, hint?: string) =>
    new SppError('bad-data', `${source} ${message}.`, hint === undefined ? {} : { hint });
  if (bytes.length < 12 || Buffer.from(bytes.subarray(0, 6)).toString('latin1') !== MAGIC) {
    throw fault('is not an NPY file', 'numpy.save writes them.');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Version 1 counts the header in 16 bits, later ones in 32.
  const wide = bytes[6] !== 1;
  const start = wide ? 12 : 10;
  const end = start + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  if (end > bytes.length) throw fault('ends within its header');
  const header = Buffer.from(bytes.subarray(start, end)).toString('utf8');
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (descr === undefined || shape === undefined) throw fault('has a header without type or shape');
  if (/'fortran_order':\s*True/.test(header)) {
    throw fault('is in column-major order', 'Save numpy.ascontiguousarray(array).');
  }
  const type = Object.hasOwn(elementTypes, descr) ? elementTypes[descr] : undefined;
  if (type === undefined) {
    throw fault(
      `holds elements of type ${descr}`,
      `Save one of ${Object.keys(elementTypes).join(' ')}, for example array.astype('float32').`,
    );
  }
  const dims = shape
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(Number);
  const count = elementCount(dims);
  if (bytes.length - end !== count * type.bytes) {
    throw fault(`says [${dims.join(', ')}], ${count * type.bytes} bytes, but holds ${bytes.length - end}`);
  }
  const body = new DataView(bytes.buffer, bytes.byteOffset + end, bytes.length - end);
  return { dtype: type.dtype, dims, data: type.read(body, count) };
}
