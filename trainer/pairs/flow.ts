/** What is known of a graph's axes while they are being followed through it; see dimension-rules.ts for the operators. */
import { shapeOnlyValues } from '../graph/fold.ts';
import { consumers, type Graph, type GraphNode } from '../graph/graph.ts';
import { isOuterProduct } from '../graph/linear.ts';
import { integers } from '../graph/rewrite.ts';
import type { Traces } from '../graph/traces.ts';
import { Atoms, type Axis, type Size } from './atoms.ts';

/** A product that sums over an axis that both operands carry. */
export interface Contraction {
  readonly node: GraphNode;
  readonly left: string;
  readonly right: string;
  readonly axis: Axis;
  /** All axes that are not summed: batches, the left operand's rows, the right one's columns. */
  readonly free: readonly Axis[];
  /** Both operands are computed from the model's inputs. */
  readonly betweenActivations: boolean;
}

/** A sum over an axis of one value: of its elements, their squares or their magnitudes. */
export interface Reduction {
  readonly node: GraphNode;
  readonly input: string;
  readonly axis: Axis;
}

export class Flow {
  readonly graph: Graph;
  readonly atoms = new Atoms();
  readonly contractions: Contraction[] = [];
  readonly reductions: Reduction[] = [];
  readonly readers: ReadonlyMap<string, readonly GraphNode[]>;
  readonly #traces: Traces;
  readonly #axes = new Map<string, readonly Axis[]>();
  #fixed: ReadonlySet<string> | undefined;

  constructor(graph: Graph, traces: Traces) {
    this.graph = graph;
    this.readers = consumers(graph);
    this.#traces = traces;
  }

  /** Lengths of a value's axes; undefined where no trace could show it. */
  sizes(value: string): Size[] | undefined {
    const dims = this.#traces.map((trace) => trace.dims.get(value));
    const [first] = dims;
    if (!first || dims.some((other) => other?.length !== first.length)) return undefined;
    return first.map((_, axis) => dims.map((other) => other?.[axis] ?? 0));
  }

  /**
   * A value's axes as `node` reads them. A constant has axes of its own at each node that reads it: exporters share equal
   * ones (zero biases, scales) between layers that have nothing to do with each other. Weight matrices are shared on
   * purpose, so their axes belong to the matrix.
   */
  axes(value: string, node: GraphNode): readonly Axis[] {
    const own =
      this.isConstant(value) && !(isMatrixOf(node, value) && !isOuterProduct(this.graph, node, value));
    const key = own ? useKey(value, node) : value;
    const known = this.#axes.get(key);
    if (known) return known;
    const made = (this.sizes(value) ?? []).map((size) => this.atoms.axis(size));
    this.#axes.set(key, made);
    return made;
  }

  /** A computed value's axes. */
  axesOf(value: string): readonly Axis[] {
    return this.#axes.get(value) ?? [];
  }

  set(value: string, axes: readonly Axis[]): void {
    this.#axes.set(value, axes);
  }

  /** Axes that nothing ties to anything. */
  unknown(value: string, reason: string): readonly Axis[] {
    return (this.sizes(value) ?? []).map((size) => this.atoms.axis(size, reason));
  }

  /** Contents of an integer initializer. */
  constant(value: string | undefined): number[] | undefined {
    return integers(this.graph.initializers.get(value ?? ''));
  }

  isConstant(value: string): boolean {
    return this.graph.initializers.has(value);
  }

  /** A constant, or one that is only repeated or shaped by the input's sizes, as learnt queries are for each example. */
  isFixed(value: string): boolean {
    this.#fixed ??= shapeOnlyValues(this.graph);
    return this.#fixed.has(value);
  }
}

/** Why heads are never cut; also said of batches. */
export const COUNTS_HEADS = 'counts heads or batches';

/** Axes of each output; undefined where the rule does not cover this form of the operator. */
export type Rule = (flow: Flow, node: GraphNode) => readonly (readonly Axis[])[] | undefined;

/** Ties the operands' axes together, aligned at the last; an axis that all operands broadcast is empty. */
export function broadcast(flow: Flow, operands: readonly (readonly Axis[])[], rank: number): Axis[] {
  return Array.from({ length: rank }, (_, axis) => {
    const tied = operands
      .map((axes) => axes[axis - rank + axes.length] ?? [])
      .filter((candidate) => candidate.length > 0);
    const [first, ...others] = tied;
    for (const other of others) flow.atoms.unify(first ?? [], other);
    return first ?? [];
  });
}

/** An input's axes; none where it is absent. */
export function input(flow: Flow, node: GraphNode, index = 0): readonly Axis[] {
  return flow.axes(node.inputs[index] ?? '', node);
}

/** An axis counted from the front. */
export function positive(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

const MATRIX_INPUT: Readonly<Record<string, number>> = { MatMul: 1, Gemm: 1, Conv: 1 };

function isMatrixOf(node: GraphNode, value: string): boolean {
  const input = MATRIX_INPUT[node.opType];
  return input !== undefined && node.inputs[input] === value;
}

function useKey(value: string, node: GraphNode): string {
  return `${value}\u0000${node.name}`;
}
