/**
 * The codec between ONNX's TensorProto and our Tensor: raw bytes and typed fields, half floats widened to float32.
 * ONNX stores little-endian; so do all platforms Node 24 runs on, hence typed arrays are views of copied bytes.
 */
import { create } from '@bufbuild/protobuf';
import {
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
} from 'onnx-buf';
import { SppError } from '../../schema/errors.ts';
import { deferredTensor, type Keep, type TensorCache } from './deferred.ts';
import { type Dtype, elementCount, type Tensor, type TensorData } from './graph.ts';

/** The files beside the model, as initializers with external data ask for them. */
export interface ExternalFiles {
  readonly folder: string;
  /** Fewer bytes than asked for where the file ends. */
  read(location: string, offset: number, length: number): Uint8Array;
  sizeOf(location: string): number;
  readonly cache: TensorCache;
  readonly keep: Keep;
  /** The model's own file, whose data are then read from it when they are used, as those of other files are. */
  own?: { readonly file: string; readonly bytes: Uint8Array } | undefined;
}

/** Tensors from this size on are read when they are used. */
const DEFERRED_BYTES = 2 ** 16;

interface Codec {
  readonly dtype: Dtype;
  readonly bytes: number;
  readonly fromRaw: (buffer: ArrayBuffer) => TensorData;
  readonly fromFields: (proto: TensorProto) => TensorData;
}

const widen = (bits: Uint16Array, toFloat: (half: number) => number): Float32Array =>
  Float32Array.from(bits, toFloat);

const codecs: Readonly<Record<number, Codec>> = {
  [TensorProto_DataType.FLOAT]: {
    dtype: 'float32',
    bytes: 4,
    fromRaw: (buffer) => new Float32Array(buffer),
    fromFields: (proto) => Float32Array.from(proto.floatData),
  },
  [TensorProto_DataType.DOUBLE]: {
    dtype: 'float64',
    bytes: 8,
    fromRaw: (buffer) => new Float64Array(buffer),
    fromFields: (proto) => Float64Array.from(proto.doubleData),
  },
  [TensorProto_DataType.FLOAT16]: {
    dtype: 'float32',
    bytes: 2,
    fromRaw: (buffer) => widen(new Uint16Array(buffer), halfToFloat),
    fromFields: (proto) => widen(Uint16Array.from(proto.int32Data), halfToFloat),
  },
  [TensorProto_DataType.BFLOAT16]: {
    dtype: 'float32',
    bytes: 2,
    fromRaw: (buffer) => widen(new Uint16Array(buffer), brainToFloat),
    fromFields: (proto) => widen(Uint16Array.from(proto.int32Data), brainToFloat),
  },
  [TensorProto_DataType.INT64]: {
    dtype: 'int64',
    bytes: 8,
    fromRaw: (buffer) => new BigInt64Array(buffer),
    fromFields: (proto) => BigInt64Array.from(proto.int64Data),
  },
  [TensorProto_DataType.INT32]: {
    dtype: 'int32',
    bytes: 4,
    fromRaw: (buffer) => new Int32Array(buffer),
    fromFields: (proto) => Int32Array.from(proto.int32Data),
  },
  [TensorProto_DataType.UINT8]: {
    dtype: 'uint8',
    bytes: 1,
    fromRaw: (buffer) => new Uint8Array(buffer),
    fromFields: (proto) => Uint8Array.from(proto.int32Data),
  },
  [TensorProto_DataType.BOOL]: {
    dtype: 'bool',
    bytes: 1,
    fromRaw: (buffer) => new Uint8Array(buffer),
    fromFields: (proto) => Uint8Array.from(proto.int32Data),
  },
};

/** Types whose elements lie in the file as they do in memory. */
const HELD_AS_WRITTEN: ReadonlySet<number> = new Set([
  TensorProto_DataType.FLOAT,
  TensorProto_DataType.DOUBLE,
  TensorProto_DataType.INT64,
  TensorProto_DataType.INT32,
]);

/** What is written for each of our element types. */
export const onnxElementTypes = {
  float32: TensorProto_DataType.FLOAT,
  float64: TensorProto_DataType.DOUBLE,
  int64: TensorProto_DataType.INT64,
  int32: TensorProto_DataType.INT32,
  uint8: TensorProto_DataType.UINT8,
  bool: TensorProto_DataType.BOOL,
} as const satisfies Record<Dtype, TensorProto_DataType>;

/**
 * Our element type for ONNX's number; float16 and bfloat16 become float32.
 * @throws `bad-model` for any other type, naming it and `owner`
 */
export function dtypeOf(elementType: number, owner: string): Dtype {
  const codec = codecs[elementType];
  if (codec) return codec.dtype;
  const name = TensorProto_DataType[elementType] ?? `number ${elementType}`;
  throw new SppError('bad-model', `${owner} has the element type ${name}, which is not supported.`, {
    hint: 'Export the model in float32, unquantised; indices and shapes may be int64, int32 or bool.',
  });
}

/**
 * @param owner how messages call the tensor
 * @param external reads external data; absent where the file came without a folder
 * @throws `bad-model` when the type is not supported or the data do not fill the shape
 */
export function readTensor(proto: TensorProto, owner: string, external?: ExternalFiles): Tensor {
  const dtype = dtypeOf(proto.dataType, owner);
  const codec = codecs[proto.dataType] as Codec;
  const dims = proto.dims.map(Number);
  const count = elementCount(dims);
  if (dims.some((dim) => dim < 0) || !Number.isSafeInteger(count))
    throw damaged(`${owner} has the impossible shape [${dims.join(', ')}].`);
  if (proto.dataLocation === TensorProto_DataLocation.EXTERNAL)
    return externalTensor(proto, owner, codec, dims, external);
  const inside = external && placeInside(proto.rawData, external);
  if (inside && proto.rawData.byteLength === count * codec.bytes)
    return fileTensor(proto.dataType, owner, codec, dims, inside, external);
  const data =
    proto.rawData.byteLength > 0 ? rawData(proto.rawData, owner, codec, count) : codec.fromFields(proto);
  if (data.length !== count)
    throw damaged(`${owner} has shape [${dims.join(', ')}] but ${data.length} elements of data.`);
  return { dtype, dims, data };
}

function rawData(raw: Uint8Array, owner: string, codec: Codec, count: number): TensorData {
  if (raw.byteLength !== count * codec.bytes)
    throw damaged(`${owner} needs ${count * codec.bytes} bytes of data but has ${raw.byteLength}.`);
  // The copy aligns the bytes and lets go of the whole file.
  return codec.fromRaw(new Uint8Array(raw).buffer);
}

function externalTensor(
  proto: TensorProto,
  owner: string,
  codec: Codec,
  dims: readonly number[],
  external: ExternalFiles | undefined,
): Tensor {
  const entries = new Map(proto.externalData.map(({ key, value }) => [key, value]));
  const location = entries.get('location');
  if (location === undefined) throw damaged(`${owner} keeps its data outside the file but says not where.`);
  if (!external)
    throw new SppError(
      'bad-model',
      `${owner} keeps its data in the file ${location}, which is not at hand.`,
      {
        hint: 'Load the model by its path, with its data files in the same folder, or save it as one file.',
      },
    );
  const count = elementCount(dims);
  const bytes = count * codec.bytes;
  const offset = Number(entries.get('offset') ?? 0);
  const length = Number(entries.get('length') ?? bytes);
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0)
    throw damaged(`${owner} names an impossible range of ${location}.`);
  const there = Math.min(length, Math.max(0, external.sizeOf(location) - offset));
  if (there !== bytes) throw damaged(`${owner} needs ${bytes} bytes of data but has ${there}.`);
  return fileTensor(proto.dataType, owner, codec, dims, { location, offset }, external);
}

interface Inside {
  readonly location: string;
  readonly offset: number;
}

/** Where data that came with the model stand in its file, if that is large and so are they. */
function placeInside(raw: Uint8Array, { own }: ExternalFiles): Inside | undefined {
  // Protobuf gives views of what it was given.
  if (!own || raw.byteLength < DEFERRED_BYTES || raw.buffer !== own.bytes.buffer) return undefined;
  return { location: own.file, offset: raw.byteOffset - own.bytes.byteOffset };
}

function fileTensor(
  type: number,
  owner: string,
  codec: Codec,
  dims: readonly number[],
  { location, offset }: Inside,
  external: ExternalFiles,
): Tensor {
  const count = elementCount(dims);
  const bytes = count * codec.bytes;
  const make = () => rawData(external.read(location, offset, bytes), owner, codec, count);
  // Half floats take twice as much in memory.
  const held = codec.bytes === 2 ? 2 * bytes : bytes;
  if (held < DEFERRED_BYTES) return { dtype: codec.dtype, dims, data: make() };
  const { folder, cache } = external;
  // Half floats are widened: the file holds something else.
  const place = HELD_AS_WRITTEN.has(type) ? { folder, file: location, offset, bytes } : undefined;
  const element = (index: number) => {
    const raw = external.read(location, offset + index * codec.bytes, codec.bytes);
    return Number(rawData(raw, owner, codec, 1)[0]);
  };
  return deferredTensor(codec.dtype, dims, make, cache, { place, element, keep: external.keep });
}

function damaged(message: string): SppError {
  return new SppError('bad-model', message, {
    hint: 'The file is damaged or was cut short; export or download it again.',
  });
}

/** The tensor as an initializer of this name, data in raw bytes. */
export function writeTensor(name: string, tensor: Tensor): TensorProto {
  const { data } = tensor;
  // A view: protobuf copies it when the message is written.
  const rawData = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return create(TensorProtoSchema, {
    name,
    dims: tensor.dims.map(BigInt),
    dataType: onnxElementTypes[tensor.dtype],
    rawData,
  });
}

/** IEEE 754 binary16, given as its bits. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** bfloat16, given as its bits: the upper half of a float32. */
export function brainToFloat(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0] as number;
}
