/**
 * Tensors whose elements are brought when they are asked for, and let go again: of models whose weights lie in files beside them and
 * may be larger than memory. A copy by `{ ...tensor }` holds its elements like any other tensor.
 */
import { type Dtype, elementCount, type Tensor, type TensorData } from './graph.ts';

/** Where a tensor's elements lie as they are, little-endian. */
export interface FilePlace {
  readonly folder: string;
  /** Relative to the folder. */
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Holds what was used last, within a budget. */
export interface TensorCache {
  get(key: object, make: () => TensorData): TensorData;
}

/** How a tensor is made of another one by an operator that onnxruntime has. */
export type Derivation =
  | { readonly kind: 'gather'; readonly axis: number; readonly indices: readonly number[] }
  | { readonly kind: 'transpose'; readonly order: readonly number[] };

/** What a tensor was made of. */
export interface Origin {
  readonly from: Tensor;
  readonly make: (data: TensorData) => TensorData;
  /** Absent where no single operator does it. */
  readonly derivation?: Derivation;
}

const PLACE = Symbol('place');
const CACHE = Symbol('cache');
const ELEMENT = Symbol('element');
const ORIGIN = Symbol('origin');
const KEEP = Symbol('keep');

/** Writes a tensor to a file, as it is in memory. */
export type Keep = (data: TensorData) => FilePlace;

/** Smaller ones go along in protobuf. */
const KEPT_BYTES = 2 ** 16;

/** Not enumerable: what is copied from such a tensor, and perhaps changed, is an ordinary one. */
interface Marks {
  readonly [PLACE]?: FilePlace;
  readonly [CACHE]?: TensorCache;
  readonly [ELEMENT]?: (index: number) => number;
  readonly [ORIGIN]?: Origin;
  readonly [KEEP]?: Kept;
}

interface Kept {
  readonly keep: Keep;
  place(): FilePlace;
}

interface Deferral {
  /** Where `make` reads from, if it does no more than that. */
  readonly place?: FilePlace | undefined;
  /** For what is made otherwise, when a session wants it. */
  readonly keep?: Keep | undefined;
  /** One element, without the others. */
  readonly element?: (index: number) => number;
  readonly origin?: Origin;
}

/** @param budgetBytes one tensor that is larger alone is held by itself */
export function tensorCache(budgetBytes: number): TensorCache {
  const held = new Map<object, TensorData>();
  let bytes = 0;
  return {
    get(key, make) {
      const known = held.get(key);
      held.delete(key);
      const data = known ?? make();
      if (known === undefined) bytes += data.byteLength;
      for (const [oldest, other] of held) {
        if (bytes <= budgetBytes) break;
        held.delete(oldest);
        bytes -= other.byteLength;
      }
      held.set(key, data);
      return data;
    },
  };
}

export function deferredTensor(
  dtype: Dtype,
  dims: readonly number[],
  make: () => TensorData,
  cache: TensorCache,
  { place, element, origin, keep }: Deferral = {},
): Tensor {
  const tensor: Tensor = {
    dtype,
    dims,
    get data() {
      return cache.get(tensor, make);
    },
  };
  const mark = (key: symbol, value: unknown) =>
    value === undefined || Object.defineProperty(tensor, key, { value });
  mark(CACHE, cache);
  mark(PLACE, place);
  mark(ELEMENT, element);
  mark(ORIGIN, origin);
  mark(KEEP, keep && kept(keep, make));
  return tensor;
}

function kept(keep: Keep, make: () => TensorData): Kept {
  let known: FilePlace | undefined;
  return {
    keep,
    place() {
      known ??= keep(make());
      return known;
    },
  };
}

/** Whether its elements are brought when they are asked for. */
export function isDeferred(tensor: Tensor): boolean {
  return (tensor as Marks)[CACHE] !== undefined;
}

/** Where the tensor's elements lie in the model's files; undefined for one that is held, or made of others. */
export function placeOf(tensor: Tensor): FilePlace | undefined {
  return (tensor as Marks)[PLACE];
}

/** Whether a tensor that lies in no file as it is can be written to one. */
export function canBeKept(tensor: Tensor): boolean {
  const { [PLACE]: place, [KEEP]: keeping } = tensor as Marks;
  return !place && keeping !== undefined && 4 * elementCount(tensor.dims) >= KEPT_BYTES;
}

/** Where such a tensor lies after it was written, which is done once; else as `placeOf`. */
export function keptPlaceOf(tensor: Tensor): FilePlace | undefined {
  return canBeKept(tensor) ? (tensor as Marks)[KEEP]?.place() : placeOf(tensor);
}

/** What a deferred tensor was made of; undefined for others. */
export function originOf(tensor: Tensor): Origin | undefined {
  return (tensor as Marks)[ORIGIN];
}

/** One element; of a tensor in a file, no more than it is read. */
export function elementAt(tensor: Tensor, index: number): number {
  return (tensor as Marks)[ELEMENT]?.(index) ?? Number(tensor.data[index]);
}

/**
 * What takes another tensor's place: written to a temporary file and brought back when asked for where that one is brought too, else as
 * it is.
 * @param read brings float32 elements back
 */
export function inPlaceOf(old: Tensor, tensor: Tensor, read: (place: FilePlace) => Float32Array): Tensor {
  const { [CACHE]: cache, [KEEP]: keeping } = old as Marks;
  const { dtype, dims } = tensor;
  if (!cache || !keeping || dtype !== 'float32' || 4 * elementCount(dims) < KEPT_BYTES) return tensor;
  const { keep } = keeping;
  const place = keep(tensor.data);
  return deferredTensor(dtype, dims, () => read(place), cache, { place, keep });
}

/** A tensor made of another one: deferred like that, or at once. */
export function derivedTensor(
  from: Tensor,
  dims: readonly number[],
  make: (data: TensorData) => TensorData,
  derivation?: Derivation,
): Tensor {
  const cache = (from as Marks)[CACHE];
  if (!cache) return { ...from, dims, data: make(from.data) };
  const origin = { from, make, ...(derivation && { derivation }) };
  const { keep } = (from as Marks)[KEEP] ?? {};
  return deferredTensor(from.dtype, dims, () => make(from.data), cache, { origin, keep });
}
