/** Resizing, and picking the largest: the gradient goes back to the elements that a new position was made of. */
import type { GraphNode } from '../../graph/graph.ts';
import { intAttribute } from '../../graph/graph.ts';
import { stretchMatrices } from '../../graph/ops/resize.ts';
import { integers } from '../../graph/rewrite.ts';
import type { Builder } from '../builder.ts';
import { int, ints, reshapeLike, zerosLike } from '../expressions.ts';
import type { VjpRule, VjpTable } from '../rule.ts';

/** y is x times a matrix [length, count] along each axis that is stretched; dx is dy times their transposes. */
const resize: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''] }) => [
  () => {
    const rank = b.dims(x).length;
    let gradient = dy;
    for (const { axis, length, count, weights } of matricesOf(node, b) ?? []) {
      const turned = new Float32Array(length * count);
      for (let i = 0; i < length; i++)
        for (let j = 0; j < count; j++) turned[j * length + i] = weights[i * count + j] as number;
      const matrix = b.constant({ dtype: 'float32', dims: [count, length], data: turned });
      const perm = Array.from({ length: rank }, (_, a) => a);
      [perm[axis], perm[rank - 1]] = [rank - 1, axis];
      const exchange = (value: string) =>
        axis === rank - 1 ? value : b.add('Transpose', [value], { perm: ints(perm) });
      gradient = exchange(b.add('MatMul', [exchange(gradient), matrix]));
    }
    return gradient === dy ? reshapeLike(b, dy, x) : gradient;
  },
];

/** Undefined where lengths, scales or sizes are only known when the graph runs. */
function matricesOf(node: GraphNode, b: Builder) {
  const [x = '', ...steering] = node.inputs;
  const dims = b.dims(x);
  const contents = steering.map((name) => {
    if (name === '') return [];
    const content = b.content(name);
    return content && (integers(content) ?? Array.from(content.data, Number));
  });
  if (contents.includes(undefined)) return undefined;
  return stretchMatrices(node, dims, contents as number[][]);
}

function unsupportedResize(node: GraphNode, b: Builder): string | undefined {
  return matricesOf(node, b) === undefined ? 'lengths that are only known when it runs' : undefined;
}

/** To the elements that were taken. */
const topK: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''] }) => [
  () =>
    b.add('ScatterElements', [zerosLike(b, x), b.extraOutput(node, 1), dy], {
      axis: int(intAttribute(node, 'axis', -1)),
    }),
];

export const windowRules: VjpTable = {
  Resize: { vjp: resize, unsupported: unsupportedResize },
  TopK: { vjp: topK },
};
