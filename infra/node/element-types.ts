/** The tensor datatypes that travel as JSON: how onnxruntime calls them, and how an element is read and written. */
import type { Datatype } from '../../schema/protocol.ts';

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

export interface ElementType {
  /** onnxruntime's name of the type. */
  readonly ort: string;
  /** What an element has to be, for messages. */
  readonly wanted: string;
  /** Elements as an array; or the index of the first that is not of this type. */
  pack(elements: readonly unknown[]): { data: TensorArray } | { fault: number };
  /** An element as JSON has it; undefined where JSON has no such number. */
  toJson(element: number | bigint): number | boolean | undefined;
}

/** null: needs the binary tensor extension, as JSON has no faithful form for it. */
export const elementTypes: Readonly<Record<Datatype, ElementType | null>> = {
  BOOL: {
    ort: 'bool',
    wanted: 'true or false',
    pack: packer(
      (n) => new Uint8Array(n),
      (value) => (typeof value === 'boolean' ? Number(value) : undefined),
    ),
    toJson: (element) => element !== 0,
  },
  UINT8: integer('uint8', (n) => new Uint8Array(n), 0, 2 ** 8 - 1),
  UINT16: integer('uint16', (n) => new Uint16Array(n), 0, 2 ** 16 - 1),
  UINT32: integer('uint32', (n) => new Uint32Array(n), 0, 2 ** 32 - 1),
  UINT64: bigInteger('uint64', (n) => new BigUint64Array(n), 0),
  INT8: integer('int8', (n) => new Int8Array(n), -(2 ** 7), 2 ** 7 - 1),
  INT16: integer('int16', (n) => new Int16Array(n), -(2 ** 15), 2 ** 15 - 1),
  INT32: integer('int32', (n) => new Int32Array(n), -(2 ** 31), 2 ** 31 - 1),
  INT64: bigInteger('int64', (n) => new BigInt64Array(n), Number.MIN_SAFE_INTEGER),
  FP16: null,
  FP32: {
    ort: 'float32',
    wanted: 'a number within the range of a 32-bit float',
    pack: packer(
      (n) => new Float32Array(n),
      (value) => finite(value, Math.fround),
    ),
    toJson: finiteJson,
  },
  FP64: {
    ort: 'float64',
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

function integer(ort: string, make: (n: number) => NumberArray, low: number, high: number): ElementType {
  return {
    ort,
    wanted: `a whole number from ${low} to ${high}`,
    pack: packer(make, (value) =>
      typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high
        ? value
        : undefined,
    ),
    toJson: Number,
  };
}

/** JSON numbers are doubles here, so that 64-bit integers are exact up to 2^53 - 1 and refused beyond. */
function bigInteger(
  ort: string,
  make: (n: number) => BigInt64Array<ArrayBuffer> | BigUint64Array<ArrayBuffer>,
  low: number,
): ElementType {
  return {
    ort,
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
    toJson: (element) => (Number.isSafeInteger(Number(element)) ? Number(element) : undefined),
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
