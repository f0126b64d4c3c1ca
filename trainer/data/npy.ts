/** NPY, NumPy's array file: magic, version, a Python dict literal as header, then the elements (numpy.lib.format). */
import { SppError } from '../../schema/errors.ts';
import { type Dtype, elementCount, type TensorData } from '../graph/graph.ts';
import type { ArraySource } from './array-dataset.ts';
import { gather, type Rows } from './rows.ts';

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
/** Magic, version, and the longer form of the header's length. */
const LEAD = 12;

export interface NpyHeader {
  readonly type: ElementType;
  readonly dims: readonly number[];
  /** Where the elements begin. */
  readonly start: number;
  /** Bytes of all elements. */
  readonly bytes: number;
  /** Bytes of one example. */
  readonly rowBytes: number;
}

/**
 * @param bytes the beginning of the file
 * @param source named in errors
 * @returns undefined when more of the file is needed
 * @throws `bad-data` when the file is not NPY, or holds elements or an order that are not read
 */
export function npyHeader(bytes: Uint8Array, source: string): NpyHeader | undefined {
  const fault = faultOf(source);
  const magic = Buffer.from(bytes.subarray(0, MAGIC.length)).toString('latin1');
  if (!MAGIC.startsWith(magic)) throw fault('is not an NPY file', 'numpy.save writes them.');
  if (bytes.length < LEAD) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Version 1 counts the header in 16 bits, later ones in 32.
  const wide = bytes[6] !== 1;
  const from = wide ? LEAD : LEAD - 2;
  const start = from + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  if (start > bytes.length) return undefined;
  const header = Buffer.from(bytes.subarray(from, start)).toString('utf8');
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
  if (dims.length === 0) throw fault('holds a single number', 'Examples lie along the first axis.');
  const bytesOf = (some: readonly number[]) => elementCount(some) * type.bytes;
  return { type, dims, start, bytes: bytesOf(dims), rowBytes: bytesOf(dims.slice(1)) };
}

/** @param held bytes behind the header @throws `bad-data` when the elements are not as many as the header says */
export function checkNpyLength({ dims, bytes }: NpyHeader, held: number, source: string): void {
  if (held === bytes) return;
  throw faultOf(source)(`says [${dims.join(', ')}], ${bytes} bytes, but holds ${held}`);
}

export function npyEndsEarly(source: string): SppError {
  return faultOf(source)('ends within its header');
}

/** @param rows the elements, an example a row */
export function npyArray({ type, dims, rowBytes }: NpyHeader, rows: Rows): ArraySource {
  const each = elementCount(dims.slice(1));
  return {
    dtype: type.dtype,
    dims,
    take(indices) {
      const bytes = gather(rows, rowBytes, indices);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return {
        dtype: type.dtype,
        dims: [indices.length, ...dims.slice(1)],
        data: type.read(view, indices.length * each),
      };
    },
  };
}

function faultOf(source: string) {
  return (message: string, hint?: string) =>
    new SppError('bad-data', `${source} ${message}.`, hint === undefined ? {} : { hint });
}
