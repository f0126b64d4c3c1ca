/**
 * Softmax where it was written out: `exp(x - m) / sum(exp(x - m))`, as XLA's and some other exporters leave it. What m is does not matter,
 * as long as it is one number along the axis: it falls out of the quotient.
 */
import { type Graph, type GraphNode, intsAttribute, producers } from './graph.ts';
import { integers, withoutDeadCode } from './rewrite.ts';
import type { Traces } from './traces.ts';

/** Before, Softmax flattened everything behind its axis. */
const SOFTMAX_OPSET = 13;
/** What only brings sums back to the shape that they are divided in. */
const LAYOUT = new Set(['Reshape', 'Unsqueeze', 'Expand', 'Identity']);

export function joinSoftmax(graph: Graph, traces: Traces): Graph {
  if (!graph.nodes.some(({ opType }) => opType === 'Exp')) return graph;
  const makers = producers(graph);
  const maker = (value: string, opType: string): GraphNode | undefined => {
    const node = makers.get(value);
    return node?.opType === opType && node.domain === '' ? node : undefined;
  };
  const dimsOf = (value: string) => traces.map(({ dims }) => dims.get(value));

  /** Numerator and denominator. */
  const quotient = (node: GraphNode): readonly [string, string] | undefined => {
    const [a = '', b = ''] = node.inputs;
    if (node.domain !== '') return undefined;
    if (node.opType === 'Div') return [a, b];
    if (node.opType !== 'Mul') return undefined;
    const [left, right] = [maker(a, 'Reciprocal'), maker(b, 'Reciprocal')];
    if (right) return [a, right.inputs[0] ?? ''];
    return left ? [b, left.inputs[0] ?? ''] : undefined;
  };

  /** The sum that a value is, but for axes of length 1 and repetition. */
  const sumBehind = (value: string): GraphNode | undefined => {
    let at = makers.get(value);
    while (at && at.domain === '' && LAYOUT.has(at.opType)) at = makers.get(at.inputs[0] ?? '');
    return at?.opType === 'ReduceSum' && at.domain === '' ? at : undefined;
  };

  /** In every run: the value's shape, but 1 long along the axis, or that shape repeated along it from one that is. */
  const isConstantAlong = (value: string, of: string, axis: number): boolean => {
    const wanted = dimsOf(of);
    const flat = dimsOf(value).every((dims, run) => {
      const whole = wanted[run];
      const offset = (whole?.length ?? 0) - (dims?.length ?? 0);
      return (
        whole !== undefined &&
        dims !== undefined &&
        offset >= 0 &&
        (axis < offset || dims[axis - offset] === 1) &&
        dims.every((length, i) => i + offset === axis || length === 1 || length === whole[i + offset])
      );
    });
    if (flat) return true;
    const wide = maker(value, 'Expand');
    return wide !== undefined && isConstantAlong(wide.inputs[0] ?? '', of, axis);
  };

  const written = (node: GraphNode): GraphNode | undefined => {
    const [above, below] = quotient(node) ?? [];
    const exponential = above === undefined ? undefined : maker(above, 'Exp');
    const sum = below === undefined ? undefined : sumBehind(below);
    if (!exponential || !sum || above === undefined || sum.inputs[0] !== above) return undefined;
    const rank = traces[0].dims.get(above)?.length;
    const axes = intsAttribute(sum, 'axes') ?? integers(graph.initializers.get(sum.inputs[1] ?? ''));
    if (rank === undefined || axes?.length !== 1) return undefined;
    const [given = 0] = axes;
    const axis = given < 0 ? given + rank : given;
    if (!isConstantAlong(below ?? '', above, axis)) return undefined;
    if ((graph.opsets[''] ?? 0) < SOFTMAX_OPSET && axis !== rank - 1) return undefined;
    const [scores = ''] = exponential.inputs;
    const less = maker(scores, 'Sub');
    const [minuend = '', shift = ''] = less?.inputs ?? [];
    const sameShape = dimsOf(minuend).every((dims, run) => dims?.join() === dimsOf(scores)[run]?.join());
    const shifted = less !== undefined && sameShape && isConstantAlong(shift, minuend, axis);
    return {
      ...node,
      opType: 'Softmax',
      inputs: [shifted ? minuend : scores],
      attributes: { axis: { kind: 'int', value: axis } },
    };
  };

  let found = false;
  const nodes = graph.nodes.map((node) => {
    const softmax = written(node);
    found ||= softmax !== undefined;
    return softmax ?? node;
  });
  return found ? withoutDeadCode({ ...graph, nodes }) : graph;
}
