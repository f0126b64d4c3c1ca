/** The tensor datatypes: how onnxruntime calls them, and how an element of each is read from and written as JSON. */
import type { TensorArray } from '../../schema/binary-tensors.ts';
import type { Datatype } from '../../schema/protocol.ts';

/** onnxruntime's names; null for what no model is served with. */
export const ortNames = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: null,
} as const satisfies Record<Datatype, string | null>;

export interface ElementType {
  /** What an element has to be, for messages. */
  readonly wanted: string;
  /** Elements as an array; or the index of the first that is not of this type. */
  pack(elements: readonly unknown[]): { data: TensorArray } | { fault: number };
  /** An element as JSON has it; undefined where JSON has no such number. */
  toJson(element: number | bigint): JsonElement | undefined;
}

/** What `JSON.stringify` writes digit by digit, for integers that no double holds. */
export interface RawJson {
  readonly rawJSON: string;
}

export type JsonElement = number | boolean | RawJson;

/** null: needs the binary tensor extension, as JSON has no faithful form for it. */
export const elementTypes: Readonly<Record<Datatype, ElementType | null>> = {
  BOOL: {
    wanted: 'true or false',
    pack: packer(
      (n) => new Uint8Array(n),
      (value) => (typeof value === 'boolean' ? Number(value) : undefined),
    ),
    toJson: (element) => element !== 0,
  },
  UINT8: integer((n) => new Uint8Array(n), 0, 2 ** 8 - 1),
  UINT16: integer((n) => new Uint16Array(n), 0, 2 ** 16 - 1),
  UINT32: integer((n) => new Uint32Array(n), 0, 2 ** 32 - 1),
  UINT64: bigInteger((n) => new BigUint64Array(n), 0),
  INT8: integer((n) => new Int8Array(n), -(2 ** 7), 2 ** 7 - 1),
  INT16: integer((n) => new Int16Array(n), -(2 ** 15), 2 ** 15 - 1),
  INT32: integer((n) => new Int32Array(n), -(2 ** 31), 2 ** 31 - 1),
  INT64: bigInteger((n) => new BigInt64Array(n), Number.MIN_SAFE_INTEGER),
  FP16: null,
  FP32: {
    wanted: 'a number within the range of a 32-bit float',
    pack: packer(
      (n) => new Float32Array(n),
      (value) => finite(value, Math.fround),
    ),
    toJson: finiteJson,
  },
  FP64: {
    wanted: 'a number within the range of a 64-bit float',
    pack: packer(
      (n) => new Float64Array(n),
      (value) => finite(value, Number),
    ),
    toJson: finiteJson,
  },
  BYTES: null,
};

/** `1e999` is valid JSON and reads as Infinity, so that range is a thing to check. */
function finite(value: unknown, round: (value: number) => number): number | undefined {
  return typeof value === 'number' && Number.isFinite(round(value)) ? value : undefined;
}

function finiteJson(element: number | bigint): number | undefined {
  return Number.isFinite(Number(element)) ? Number(element) : undefined;
}

type NumberArray = Exclude<TensorArray, BigInt64Array | BigUint64Array>;

function integer(make: (n: number) => NumberArray, low: number, high: number): ElementType {
  return {
    wanted: `a whole number from ${low} to ${high}`,
    pack: packer(make, (value) =>
      typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high
        ? value
        : undefined,
    ),
    toJson: Number,
  };
}

const { rawJSON } = JSON as unknown as { rawJSON(text: string): RawJson };

/** Numbers read of JSON are doubles here, so that 64-bit integers are taken up to 2^53 - 1 and refused beyond; what is written is exact. */
function bigInteger(
  make: (n: number) => BigInt64Array<ArrayBuffer> | BigUint64Array<ArrayBuffer>,
  low: number,
): ElementType {
  return {
    wanted: `a whole number from ${low} to ${Number.MAX_SAFE_INTEGER}`,
    pack(elements) {
      const data = make(elements.length);
      for (let i = 0; i < elements.length; i++) {
        const value = elements[i];
        if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < low) return { fault: i };
        data[i] = BigInt(value);
      }
      return { data };
    },
    toJson: (element) => (Number.isSafeInteger(Number(element)) ? Number(element) : rawJSON(String(element))),
  };
}

function packer(
  make: (n: number) => NumberArray,
  read: (value: unknown) => number | undefined,
): ElementType['pack'] {
  return (elements) => {
    const data = make(elements.length);
    for (let i = 0; i < elements.length; i++) {
      const value = read(elements[i]);
      if (value === undefined) return { fault: i };
      data[i] = value;
    }
    return { data };
  };
}
