/**
 * Tensors whose elements are brought when they are asked for, and let go again: of models whose weights lie in files beside them and
 * may be larger than memory. A copy by `{ ...tensor }` holds its elements like any other tensor.
 */
import type { Dtype, Tensor, TensorData } from './graph.ts';

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

const PLACE = Symbol('place');
const CACHE = Symbol('cache');

/** Not enumerable: what is copied from such a tensor, and perhaps changed, is an ordinary one. */
interface Marks {
  readonly [PLACE]?: FilePlace;
  readonly [CACHE]?: TensorCache;
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

/** @param place where `make` reads from, if it does no more than that */
export function deferredTensor(
  dtype: Dtype,
  dims: readonly number[],
  make: () => TensorData,
  cache: TensorCache,
  place?: FilePlace,
): Tensor {
  const tensor: Tensor = {
    dtype,
    dims,
    get data() {
      return cache.get(tensor, make);
    },
  };
  Object.defineProperty(tensor, CACHE, { value: cache });
  if (place) Object.defineProperty(tensor, PLACE, { value: place });
  return tensor;
}

/** Where the tensor's elements lie in a file; undefined for one that is held. */
export function placeOf(tensor: Tensor): FilePlace | undefined {
  return (tensor as Marks)[PLACE];
}

/** A tensor made of another one: deferred like that, or at once. */
export function derivedTensor(
  from: Tensor,
  dims: readonly number[],
  make: (data: TensorData) => TensorData,
): Tensor {
  const cache = (from as Marks)[CACHE];
  if (!cache) return { ...from, dims, data: make(from.data) };
  return deferredTensor(from.dtype, dims, () => make(from.data), cache);
}
