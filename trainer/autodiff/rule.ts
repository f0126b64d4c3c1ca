/** What an operator is to differentiation: one vector-Jacobian product per input, written as nodes. */
import type { GraphNode } from '../graph/graph.ts';
import type { Builder } from './builder.ts';

export interface VjpCall {
  readonly node: GraphNode;
  readonly build: Builder;
  /** Of the first output, in its shape; '' where only others have one. */
  readonly dy: string;
  /** By output; undefined where no gradient flows back. */
  readonly gradients: readonly (string | undefined)[];
  /** Inputs by position, '' where absent, and the first output. */
  readonly x: readonly string[];
  readonly y: string;
}

/** Writes the gradient of one input, in that input's shape; returns its name. Called only when somebody wants it. */
export type Pullback = () => string;

export interface VjpRule {
  /** By input; undefined where there is no gradient (indices, shapes, conditions), or none that is written here. */
  readonly vjp: (call: VjpCall) => readonly (Pullback | undefined)[];
  /** What of this node has no gradient here, if anything, by the inputs that want one; asked before anything is written. */
  readonly unsupported?: (node: GraphNode, build: Builder, wanted: readonly number[]) => string | undefined;
}

/** Keyed by op type, with the domain in front (`com.microsoft.Gelu`) where it is not ONNX's own. */
export type VjpTable = Readonly<Record<string, VjpRule>>;

/** A table of rules that support all attributes. */
export function rulesOf(vjps: Readonly<Record<string, VjpRule['vjp']>>): VjpTable {
  return Object.fromEntries(Object.entries(vjps).map(([opType, vjp]) => [opType, { vjp }]));
}

export function ruleKey({ domain, opType }: GraphNode): string {
  return domain === '' ? opType : `${domain}.${opType}`;
}
