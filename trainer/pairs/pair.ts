/**
 * What pair finding hands to rotation, search and cutting: plain data, all tensors named as in the *prepared* graph
 * (constants folded, fused query-key-value matrices split), which is the only graph that later stages see.
 */
import type { PairKind } from '../../schema/manifest.ts';
import type { Graph } from '../graph/graph.ts';

/** An axis that carries a pair's units, laid out as `outer * units * inner`, unit index in the middle. */
export interface UnitAxisOf {
  readonly tensor: string;
  readonly axis: number;
  /** Heads (or heads x rotary halves) before the unit index. */
  readonly outer: number;
  /** Coupled neighbours behind the unit index (interleaved rotary positions); 1 otherwise. */
  readonly inner: number;
}

/**
 * One linear map of a pair: `y = x W + b`, found in the graph with its weight and bias as initializers.
 * A producer makes units (its output axis is `unitAxis`), a consumer contracts them (its input axis is).
 */
export interface LinearMap {
  readonly node: string;
  readonly weight: UnitAxisOf;
  /** Axis of the weight that is not the units': model width for the attention and MLP matrices. */
  readonly otherAxis: number;
  /** Absent: no bias in the graph. A producer's bias carries units; a consumer's does not, and then `axis` is -1. */
  readonly bias?: UnitAxisOf;
  /** The activation that the matrix multiplies, last axis contracted: [..., dIn]. */
  readonly input: string;
  /** The value behind the matrix and its bias: [..., dOut]. */
  readonly output: string;
}

/** Where a mask is multiplied in: after this value, along an activation axis that carries the units. */
export interface MaskSite extends UnitAxisOf {
  /** Axes behind the unit axis: a factor of shape [outer * units * inner, 1, ...] with so many ones broadcasts. */
  readonly trailing: number;
}

export interface Pair {
  readonly name: string;
  readonly kind: PairKind;
  readonly heads: number;
  readonly kvHeads?: number;
  readonly units: number;
  /** FLOPs that go when one unit is cut, one multiply-add counted as two, for one input of the traced sizes. */
  readonly flopsPerUnit: number;
  readonly paramsPerUnit: number;
  /** Every initializer axis that shrinks with the pair. */
  readonly unitAxes: readonly UnitAxisOf[];
  /** Multiplying the mask here, at every site, equals cutting the units. */
  readonly maskSites: readonly MaskSite[];
  /** Linears whose outputs are the units: [query, key], [value], or [first layer] ([gate, up] when gated). */
  readonly producers: readonly LinearMap[];
  /** Linears that contract the units: [] for query-key, [projection] or [second layer] otherwise. */
  readonly consumers: readonly LinearMap[];
  /**
   * Only for query-key and value-projection: nothing but layout and scalar factors stands between the linears and the
   * contraction, so any invertible change of basis of the units, head by head, keeps the function.
   * `attention` names the probabilities [batch, heads, queries, keys] that mix the values (value-projection only).
   */
  readonly rotation?: { readonly attention?: string };
}

export interface LeftAlone {
  readonly name: string;
  readonly reason: string;
}

/** int64 initializer element that must read `factor * width` at every level. */
export interface ShapeConstantOf {
  readonly tensor: string;
  readonly index: number;
  readonly pair: number;
  readonly factor: number;
}

/**
 * Products and tensors that several pairs cut, as where one linear ends a pair and begins the next: they keep the product of the shares
 * that the pairs keep, so that what each pair's units cost must not be subtracted for each of them.
 */
export interface SharedCost {
  /** Indices, ascending; at least two. */
  readonly pairs: readonly number[];
  readonly flops: number;
  readonly params: number;
}

export interface PreparedModel {
  /** The graph that every later stage works on; equal in function to the file. */
  readonly graph: Graph;
  readonly pairs: readonly Pair[];
  readonly leftAlone: readonly LeftAlone[];
  readonly shapeConstants: readonly ShapeConstantOf[];
  readonly shared: readonly SharedCost[];
  /** All FLOPs of the graph's matrix products and convolutions, for one input of the traced sizes. */
  readonly flops: number;
  /** All float elements in initializers. */
  readonly params: number;
}
