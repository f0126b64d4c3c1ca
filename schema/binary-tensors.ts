/**
 * The protocol's binary tensor data extension: a body is a JSON object, whose length a header tells, and behind it the
 * elements of tensors, row-major, little-endian, without padding, in the order in which the JSON names them.
 * https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
 *
 *   Inference-Header-Content-Length: 113
 *   { "inputs": [ { "name": "x", ..., "parameters": { "binary_data_size": 16 } }, ... ] } | 16 bytes of x | ...
 *   '--------------------------------- 113 bytes ----------------------------------------'
 */
import { SppError } from './errors.ts';
import { type Datatype, datatypes } from './protocol.ts';

export const binaryExtension = 'binary_tensor_data';
export const headerLengthName = 'inference-header-content-length';

export type TensorArray =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>;

/** What the codec needs of a tensor in the JSON part. */
export interface BinaryTensor {
  readonly name: string;
  readonly data?: unknown;
  readonly parameters?: Readonly<Record<string, unknown>> | undefined;
}

const utf8 = new TextEncoder();

type ArrayOf = new (buffer: ArrayBuffer, offset: number, length: number) => TensorArray;

/** Arrays that see a tensor's bytes as its elements; FP16 as its bits; null where elements differ in length. */
const arrays = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
  BYTES: null,
} as const satisfies Record<Datatype, ArrayOf | null>;

/**
 * How much of a body is JSON: all of it without the header.
 * @param headerLength value of `Inference-Header-Content-Length`, null where it is absent
 * @throws `bad-header` when the length is malformed or beyond the body's end
 */
export function jsonLength(headerLength: string | null, bodyLength: number): number {
  if (headerLength === null) return bodyLength;
  const length = /^\d{1,15}$/.test(headerLength.trim()) ? Number(headerLength) : Number.NaN;
  if (length <= bodyLength) return length;
  throw new SppError(
    'bad-header',
    `Inference-Header-Content-Length: ${JSON.stringify(headerLength.slice(0, 40))} is not a length within the body of ${bodyLength} bytes.`,
    {
      hint: 'It is the number of bytes of the JSON object that the body begins with.',
      details: { header: 'Inference-Header-Content-Length' },
    },
  );
}

/** The JSON part and what follows it; both are views. @throws as `jsonLength` does */
export function splitBody(
  body: Uint8Array<ArrayBuffer>,
  headerLength: string | null,
): { json: Uint8Array<ArrayBuffer>; tail: Uint8Array<ArrayBuffer> } {
  const length = jsonLength(headerLength, body.length);
  return { json: body.subarray(0, length), tail: body.subarray(length) };
}

/**
 * Each tensor's bytes, as views of `tail`; undefined for a tensor that the JSON holds.
 * @throws `bad-request` naming the tensor whose size is missing, malformed or more than there is, or the bytes left over
 */
export function binaryParts(
  tensors: readonly BinaryTensor[],
  tail: Uint8Array<ArrayBuffer>,
): (Uint8Array<ArrayBuffer> | undefined)[] {
  let offset = 0;
  const parts = tensors.map(({ name, data, parameters }) => {
    const size = parameters?.binary_data_size;
    if (size === undefined && data === undefined)
      throw refusal(name, 'has neither data nor the parameter binary_data_size');
    if (size === undefined) return undefined;
    if (data !== undefined) throw refusal(name, 'has both data and the parameter binary_data_size');
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
      throw refusal(name, `has the binary_data_size ${JSON.stringify(size)}, which is not a number of bytes`);
    const left = tail.length - offset;
    if (size > left)
      throw refusal(
        name,
        `has the binary_data_size ${size}, but ${left} bytes are left behind the JSON object`,
      );
    offset += size;
    return tail.subarray(offset - size, offset);
  });
  if (offset < tail.length)
    throw new SppError(
      'bad-request',
      `${tail.length - offset} bytes follow the last tensor; the inputs' binary_data_size add up to ${offset}.`,
      {
        hint: 'Give each tensor behind the JSON object its binary_data_size, and Inference-Header-Content-Length the length of the object.',
      },
    );
  return parts;
}

/**
 * A tensor's bytes as elements: a view where they lie aligned, else a copy. `BOOL` is bytes of 0 and 1, `FP16` its bits.
 * @param count of elements, by the tensor's shape
 * @throws `bad-shape` for another number of bytes, `bad-datatype` for `BYTES` and for a `BOOL` that is neither 0 nor 1
 */
export function elementsOf(
  name: string,
  datatype: Datatype,
  count: number,
  bytes: Uint8Array<ArrayBuffer>,
): TensorArray {
  const [ArrayType, width] = [arrays[datatype], datatypes[datatype]];
  if (ArrayType === null || width === null)
    throw new SppError(
      'bad-datatype',
      `The tensor ${JSON.stringify(name)} is ${datatype}, which is not served.`,
    );
  if (bytes.length !== count * width)
    throw new SppError(
      'bad-shape',
      `The tensor ${JSON.stringify(name)} has ${bytes.length} bytes of binary data where its shape and ${datatype} ask for ${count * width}.`,
    );
  if (datatype === 'BOOL') {
    const fault = bytes.findIndex((byte) => byte > 1);
    if (fault >= 0)
      throw new SppError(
        'bad-datatype',
        `Byte ${fault} of the tensor ${JSON.stringify(name)} is ${bytes[fault]}; BOOL takes 0 or 1.`,
      );
  }
  const aligned = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  return new ArrayType(aligned.buffer, aligned.byteOffset, count);
}

/** The bytes of elements, without a copy. */
export function bytesOf(data: TensorArray): Uint8Array<ArrayBuffer> {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * A body of the JSON object `header` and the tails behind it. `header` names each tail's tensor and its `binary_data_size`.
 * @returns the body, and the length of its JSON part
 */
export function joinBody(
  header: unknown,
  tails: readonly Uint8Array[],
): { body: Uint8Array<ArrayBuffer>; headerLength: number } {
  const json = utf8.encode(JSON.stringify(header));
  const body = new Uint8Array(tails.reduce((sum, tail) => sum + tail.length, json.length));
  body.set(json);
  let offset = json.length;
  for (const tail of tails) {
    body.set(tail, offset);
    offset += tail.length;
  }
  return { body, headerLength: json.length };
}

function refusal(name: string, fault: string): SppError {
  return new SppError('bad-request', `The tensor ${JSON.stringify(name.slice(0, 64))} ${fault}.`, {
    hint: 'Send a tensor either as "data", or as bytes behind the JSON object with their number in the parameter binary_data_size.',
  });
}
