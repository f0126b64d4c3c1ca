/** What the writers of plain forms share: the node at hand, what is known of it, and the graph being built. */
import type { Attribute, GraphNode, Tensor } from '../graph.ts';
import { type Draft, int64 } from '../rewrite.ts';

export interface Site {
  readonly node: GraphNode;
  readonly draft: Draft;
  /** Version of the ONNX domain. */
  readonly opset: number;
  /** Contents of an initializer. */
  constant(value: string | undefined): Tensor | undefined;
  /** Lengths of a value's axes, undefined where they are free; undefined altogether where it was not traced. */
  lengths(value: string | undefined): readonly (number | undefined)[] | undefined;
  /** Adds a node in the place of this one; returns its output. */
  add(opType: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): string;
  /** Adds the last one, which makes the value that this node made. */
  finish(opType: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): true;
  /** Adds an initializer of its own; returns its name. */
  keep(tensor: Tensor): string;
}

/** Puts nodes in the place of this one and returns true; adds nothing and returns false where the node has no plainer form. */
export type PlainForm = (site: Site) => boolean;

const MARK = '_plain';

/** Whether a node stands in the place of this one. */
export function standsFor(name: string, original: string): boolean {
  return name.startsWith(`${original}${MARK}`);
}

export function siteOf(
  draft: Draft,
  node: GraphNode,
  known: Pick<Site, 'opset' | 'constant' | 'lengths'>,
): Site {
  const base = `${node.name}${MARK}`;
  return {
    ...known,
    node,
    draft,
    add: (opType, inputs, attributes) => draft.add(opType, inputs, base, attributes),
    finish(opType, inputs, attributes = {}) {
      const { outputs } = node;
      draft.nodes.push({ name: draft.fresh(base), opType, domain: '', inputs, outputs, attributes });
      return true;
    },
    keep: (tensor) => draft.constant(base, tensor),
  };
}

/** ReduceSum over these axes, which are an input from opset 13 on. */
export function addSum(site: Site, value: string, axes: readonly number[], keep = true): string {
  const keepdims = { kind: 'int', value: keep ? 1 : 0 } as const;
  return site.opset >= 13
    ? site.add('ReduceSum', [value, site.keep(int64(axes))], { keepdims })
    : site.add('ReduceSum', [value], { keepdims, axes: { kind: 'ints', value: axes } });
}

export function scalar(value: number): Tensor {
  return { dtype: 'float32', dims: [], data: Float32Array.of(value) };
}

export function transposed(perm: readonly number[]): Record<string, Attribute> {
  return { perm: { kind: 'ints', value: perm } };
}
