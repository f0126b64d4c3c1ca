/** Says of every linear that no pair took why its outputs cannot be cut. */
import { type GraphNode, producers } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { LAYOUT } from '../graph/op-classes.ts';
import { type Atom, type Axis, fixedSize } from './atoms.ts';
import type { Candidate } from './candidates.ts';
import { COUNTS_HEADS, type Flow } from './flow.ts';
import type { LeftAlone } from './pair.ts';
import { atomsOf } from './units.ts';

/** Products with constant matrices that `findLinears` does not count. */
const OTHER_LINEAR = new Set(['MatMul', 'Gemm', 'Conv', 'Einsum']);

/** In graph order, one entry a linear. */
export function leftAlone(
  flow: Flow,
  linears: readonly Linear[],
  taken: readonly Candidate[],
  refused: ReadonlyMap<Atom, string>,
): LeftAlone[] {
  const inPairs = new Set(
    taken.flatMap((own) => [...own.producers, ...own.consumers]).map(({ weight }) => weight),
  );
  const byNode = new Map<GraphNode, Linear>(linears.map((linear) => [linear.node, linear]));
  const makers = producers(flow.graph);
  return flow.graph.nodes.flatMap((node): LeftAlone[] => {
    const linear = byNode.get(node);
    if (linear) {
      if (inPairs.has(linear.weight)) return [];
      const axis = flow.axes(linear.weight, node)[linear.outAxis] ?? [];
      return [
        { name: node.name, reason: `its output axis ${whyNot(flow, flow.atoms.leaves(axis), refused)}` },
      ];
    }
    if (!OTHER_LINEAR.has(node.opType)) return [];
    if (node.inputs.some((input) => isPicked(flow, makers, input)))
      return [
        {
          name: node.name,
          reason: 'its matrix is picked from a stack of them by what inputs hold (experts)',
        },
      ];
    if (!node.inputs.some((input) => isMatrix(flow, input))) return [];
    // A table that a pair's units are multiplied with is cut with them.
    if (node.inputs.some((input) => carriesAny(flow, flow.axes(input, node), taken))) return [];
    const reason =
      node.opType === 'Conv'
        ? 'a convolution is no linear map between tokens'
        : `this form of ${node.opType} is not followed`;
    return [{ name: node.name, reason }];
  });
}

function carriesAny(flow: Flow, axes: readonly Axis[], taken: readonly Candidate[]): boolean {
  const own = atomsOf(flow, axes);
  return taken.some(({ atom }) => own.has(atom));
}

/** Whether a value is one of several matrices of a constant, at an index that is computed. */
function isPicked(flow: Flow, makers: ReadonlyMap<string, GraphNode>, value: string): boolean {
  const maker = makers.get(value);
  if (maker?.domain !== '') return false;
  const [data = '', indices = ''] = maker.inputs;
  if (maker.opType !== 'Gather') return LAYOUT.has(maker.opType) && isPicked(flow, makers, data);
  return (
    (flow.graph.initializers.get(data)?.dims.length ?? 0) > 2 &&
    isMatrix(flow, data) &&
    !flow.isConstant(indices)
  );
}

function isMatrix(flow: Flow, value: string): boolean {
  const tensor = flow.graph.initializers.get(value);
  return tensor?.dtype === 'float32' && tensor.dims.filter((dim) => dim > 1).length > 1;
}

/** The reason of the atom that would have been the units: the largest one that does not count heads. */
function whyNot(flow: Flow, leaves: readonly Atom[], refused: ReadonlyMap<Atom, string>): string {
  const reasonOf = (atom: Atom) => refused.get(atom) ?? flow.atoms.reason(atom) ?? 'is summed by no linear';
  const size = (atom: Atom) => fixedSize(flow.atoms.size(atom)) ?? 0;
  const bySize = leaves.toSorted((a, b) => size(b) - size(a)).map(reasonOf);
  return bySize.find((reason) => reason !== COUNTS_HEADS) ?? bySize[0] ?? 'has length 1';
}
