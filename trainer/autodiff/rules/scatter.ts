/** Operators that write at indices: what was written over gets no gradient, what was written gets the gradient from where it stands. */
import { type GraphNode, intAttribute, stringAttribute } from '../../graph/graph.ts';
import { int, zerosLike } from '../expressions.ts';
import type { VjpRule, VjpTable } from '../rule.ts';

const adds = (node: GraphNode) => stringAttribute(node, 'reduction', 'none') === 'add';

const scatterElements: VjpRule['vjp'] = ({ node, build: b, dy, x: [, indices = '', updates = ''] }) => {
  const axis = int(intAttribute(node, 'axis', 0));
  return [
    () => (adds(node) ? dy : b.add('ScatterElements', [dy, indices, zerosLike(b, updates)], { axis })),
    undefined,
    () => b.add('GatherElements', [dy, indices], { axis }),
  ];
};

const scatterNd: VjpRule['vjp'] = ({ node, build: b, dy, x: [, indices = '', updates = ''] }) => [
  () => (adds(node) ? dy : b.add('ScatterND', [dy, indices, zerosLike(b, updates)])),
  undefined,
  () => b.add('GatherND', [dy, indices]),
];

function unsupported(node: GraphNode): string | undefined {
  const reduction = stringAttribute(node, 'reduction', 'none');
  return reduction === 'none' || reduction === 'add' ? undefined : `the reduction ${reduction}`;
}

export const scatterRules: VjpTable = {
  ScatterElements: { vjp: scatterElements, unsupported },
  ScatterND: { vjp: scatterNd, unsupported },
};
