/**
 * Takes linears of joined values apart: what a matrix makes of values side by side is the sum of what its rows make of each.
 *
 *   f(Concat(a, b)) W + c   becomes   f(a) W[rows of a] + f(b) W[rows of b] + c,   f element by element
 *
 * Then a's width is an inner dimension of its own, as in parallel blocks with one output matrix for attention and MLP.
 */
import { gather } from './gather.ts';
import { elementCount, type Graph, type GraphNode, intAttribute } from './graph.ts';
import { ELEMENTWISE } from './op-classes.ts';
import { draftOf, withoutDeadCode } from './rewrite.ts';
import { fixedLength } from './trace.ts';
import type { Traces } from './traces.ts';

export interface JoinedLinear {
  readonly node: GraphNode;
  /** Between Concat and the linear, in order. */
  readonly path: readonly GraphNode[];
  readonly pieces: readonly { readonly value: string; readonly rows: readonly number[] }[];
  /** Of the matrix. */
  readonly inAxis: number;
}

/** Where the inputs of a linear stand: its data's axis, and the matrix'. */
function axesOf(
  graph: Graph,
  node: GraphNode,
): { readonly data: number; readonly matrix: number } | undefined {
  const matrix = graph.initializers.get(node.inputs[1] ?? '');
  if (node.domain !== '' || matrix?.dtype !== 'float32' || graph.initializers.has(node.inputs[0] ?? ''))
    return undefined;
  if (node.opType === 'MatMul') return matrix.dims.length === 2 ? { data: -1, matrix: 0 } : undefined;
  if (node.opType === 'Gemm')
    return intAttribute(node, 'transA', 0) === 0
      ? { data: -1, matrix: intAttribute(node, 'transB', 0) === 0 ? 0 : 1 }
      : undefined;
  const isPointwise = node.opType === 'Conv' && elementCount(matrix.dims.slice(2)) === 1;
  return isPointwise && intAttribute(node, 'group', 1) === 1 ? { data: 1, matrix: 1 } : undefined;
}

/** Linears that read a Concat along what they sum. */
export function joinedLinears(graph: Graph, traces: Traces): JoinedLinear[] {
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((value) => [value, node] as const)));
  return graph.nodes.flatMap((node): JoinedLinear[] => {
    const axes = axesOf(graph, node);
    if (!axes) return [];
    const path: GraphNode[] = [];
    let maker = makers.get(node.inputs[0] ?? '');
    while (maker && maker.domain === '' && maker.inputs.length === 1 && ELEMENTWISE.has(maker.opType)) {
      path.unshift(maker);
      maker = makers.get(maker.inputs[0] ?? '');
    }
    if (maker?.opType !== 'Concat' || maker.inputs.length < 2) return [];
    const rank = traces[0].dims.get(maker.outputs[0] ?? '')?.length ?? 0;
    const along = intAttribute(maker, 'axis', 0);
    const axis = along < 0 ? along + rank : along;
    if (axis !== (axes.data < 0 ? axes.data + rank : axes.data)) return [];
    const lengths = maker.inputs.map((value) => fixedLength(traces, value, axis));
    let from = 0;
    const pieces = maker.inputs.flatMap((value, i) => {
      const length = lengths[i] ?? 0;
      const rows = Array.from({ length }, (_, row) => from + row);
      from += length;
      return length === 0 ? [] : [{ value, rows }];
    });
    return lengths.includes(undefined) ? [] : [{ node, path, pieces, inAxis: axes.matrix }];
  });
}

/** The products that stand for a joined linear are called so, each with its piece's number. */
export function pieceName(linear: GraphNode, piece: number): string {
  return `${linear.name}_piece${piece}`;
}

export function splitJoined(graph: Graph, joined: readonly JoinedLinear[]): Graph {
  const draft = draftOf(graph);
  const byNode = new Map(joined.map((linear) => [linear.node, linear]));
  for (const node of graph.nodes) {
    const linear = byNode.get(node);
    if (!linear) {
      draft.nodes.push(node);
      continue;
    }
    const [, matrix = '', bias] = node.inputs;
    const weight = graph.initializers.get(matrix);
    if (!weight) continue;
    const products = linear.pieces.map(({ value, rows }, i) => {
      const name = pieceName(node, i);
      const input = linear.path.reduce(
        (read, { opType, attributes }) => draft.add(opType, [read], `${name}_${opType}`, attributes),
        value,
      );
      const part = draft.constant(`${name}_rows`, gather(weight, linear.inAxis, rows));
      // The bias comes once, with the last.
      const offset = bias !== undefined && i === linear.pieces.length - 1 ? [bias] : [];
      return draft.add(node.opType, [input, part, ...offset], name, node.attributes);
    });
    const [last = '', ...others] = products.toReversed();
    const sum = others
      .slice(0, -1)
      .reduce((total, part) => draft.add('Add', [total, part], `${node.name}_sum`), last);
    draft.nodes.push({
      name: draft.fresh(`${node.name}_sum`),
      opType: 'Add',
      domain: '',
      inputs: [sum, others.at(-1) ?? ''],
      outputs: node.outputs,
      attributes: {},
    });
  }
  return withoutDeadCode({ ...graph, nodes: draft.nodes, initializers: draft.initializers });
}
