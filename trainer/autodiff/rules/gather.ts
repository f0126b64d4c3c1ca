/** Operators that pick elements by index; the gradient is added up where it was picked from. */
import { type GraphNode, intAttribute } from '../../graph/graph.ts';
import type { Builder } from '../builder.ts';
import { axisFromFront, lengthOf, text, zerosLike } from '../expressions.ts';
import type { VjpRule, VjpTable } from '../rule.ts';
import { scatter } from './layout.ts';

/** Up to here a product with a one-hot matrix is cheaper than adding element by element. */
const ONE_HOT_ENTRIES = 512;

/** Adds rows [k, after...] to those of a table [n, after...] of zeros that indices [k] name. */
function addRows(b: Builder, table: string, indices: string, rows: string): string {
  const rank = b.dims(table).length;
  const column = b.add('Reshape', [indices, b.integers([-1, ...Array<number>(rank - 1).fill(1)])]);
  const everywhere = b.add('Expand', [column, b.add('Shape', [rows])]);
  return b.add('ScatterElements', [zerosLike(b, table), everywhere, rows], {
    axis: { kind: 'int', value: 0 },
    reduction: text('add'),
  });
}

/** y [before..., indices..., after...] of x [before..., n, after...] */
const gather: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = '', indices = ''] }) => [
  () => {
    const rank = b.dims(x).length;
    const axis = axisFromFront(intAttribute(node, 'axis', 0), rank);
    const before = Array.from({ length: axis }, (_, i) => lengthOf(b, x, i));
    const after = Array.from({ length: rank - axis - 1 }, (_, i) => lengthOf(b, x, axis + 1 + i));
    const shape = [...before, b.integers([-1]), ...after];
    const known = b.dims(x).every((length, i) => i === axis || length !== undefined);
    const folded = known
      ? b.integers(b.dims(x).map((length, i) => (i === axis ? -1 : (length as number))))
      : shape.length === 1
        ? (shape[0] as string)
        : b.add('Concat', shape, { axis: { kind: 'int', value: 0 } });
    const rows = b.add('Reshape', [dy, folded]);
    const flat = b.dims(indices).length === 1 ? indices : b.add('Reshape', [indices, b.integers([-1])]);
    const entries = b.dims(x)[axis];
    if (axis === 0 && rank > 1 && (entries === undefined || entries > ONE_HOT_ENTRIES))
      return addRows(b, x, flat, rows);
    return scatter(b, rows, flat, lengthOf(b, x, axis), axis, rank);
  },
];

const gatherElements: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = '', indices = ''] }) => [
  () =>
    b.add('ScatterElements', [zerosLike(b, x), indices, dy], {
      axis: { kind: 'int', value: intAttribute(node, 'axis', 0) },
      reduction: text('add'),
    }),
];

const gatherNd: VjpRule['vjp'] = ({ build: b, dy, x: [x = '', indices = ''] }) => [
  () => b.add('ScatterND', [zerosLike(b, x), indices, dy], { reduction: text('add') }),
];

function unsupportedGatherNd(node: GraphNode): string | undefined {
  return intAttribute(node, 'batch_dims', 0) > 0 ? 'batch_dims' : undefined;
}

export const gatherRules: VjpTable = {
  Gather: { vjp: gather },
  GatherElements: { vjp: gatherElements },
  GatherND: { vjp: gatherNd, unsupported: unsupportedGatherNd },
};
