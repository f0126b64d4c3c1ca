/** IDX files, the format of MNIST and its relatives: big-endian header, then row-major elements. */
import { SppError } from '../../schema/errors.ts';

export interface IdxArray {
  readonly dims: readonly number[];
  /** Unsigned bytes; other element types do not occur in the data sets this reads. */
  readonly data: Uint8Array;
}

const UNSIGNED_BYTE = 0x08;

/**
 * @param source named in errors
 * @throws `bad-data` when the header is not IDX, elements are not bytes, or the length does not fit the header
 */
export function parseIdx(bytes: Uint8Array, source: string): IdxArray {
  const [zero0, zero1, type, rank] = bytes;
  if (zero0 !== 0 || zero1 !== 0 || type === undefined || rank === undefined || rank === 0) {
    throw new SppError('bad-data', `${source} is not an IDX file: it does not begin with an IDX header.`, {
      hint: 'If it is compressed, unpack it first.',
    });
  }
  if (type !== UNSIGNED_BYTE) {
    throw new SppError(
      'bad-data',
      `${source} holds IDX elements of type 0x${type.toString(16)}; only unsigned bytes are read.`,
    );
  }
  const headerBytes = 4 + 4 * rank;
  if (bytes.length < headerBytes) throw new SppError('bad-data', `${source} ends within its IDX header.`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dims = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const want = dims.reduce((a, b) => a * b, 1);
  if (bytes.length - headerBytes !== want) {
    throw new SppError(
      'bad-data',
      `${source} says [${dims.join(', ')}], which is ${want} bytes, but holds ${bytes.length - headerBytes}.`,
      { hint: 'The file is cut off or damaged.' },
    );
  }
  return { dims, data: bytes.subarray(headerBytes) };
}
