/** Pooling and resizing: the gradient goes back to the elements that a window or a new position was made of. */
import { type GraphNode, intAttribute, intsAttribute, stringAttribute } from '../../graph/graph.ts';
import { stretchMatrices } from '../../graph/ops/resize.ts';
import { integers } from '../../graph/rewrite.ts';
import type { Builder } from '../builder.ts';
import { int, ints, lengthOf, mul, reshapeLike, text, zerosLike } from '../expressions.ts';
import type { VjpRule, VjpTable } from '../rule.ts';

const spatialOf = (b: Builder, x: string) => b.dims(x).length - 2;

/** Each maximum came from one element, whose place in the whole input the forward node tells. */
const maxPool: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''] }) => [
  () => {
    const flat = (value: string) => b.add('Reshape', [value, b.integers([-1])]);
    const sums = b.add('ScatterElements', [flat(zerosLike(b, x)), flat(b.extraOutput(node, 1)), flat(dy)], {
      axis: int(0),
      reduction: text('add'),
    });
    return b.add('Reshape', [sums, b.add('Shape', [x])]);
  },
];

function unsupportedMaxPool(node: GraphNode): string | undefined {
  return intAttribute(node, 'storage_order', 0) === 1 ? 'positions by column' : undefined;
}

/**
 * A mean is a convolution of each channel with equal weights, divided by how many places count; its gradient is the transposed
 * convolution. Channels are examples here: [N, C, ...] is [N C, 1, ...].
 */
const averagePool: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''], y }) => [
  () => {
    const spatial = spatialOf(b, x);
    const kernel = intsAttribute(node, 'kernel_shape') ?? [];
    const pads = intsAttribute(node, 'pads') ?? Array<number>(2 * spatial).fill(0);
    const window = {
      strides: ints(intsAttribute(node, 'strides') ?? Array<number>(spatial).fill(1)),
      dilations: ints(intsAttribute(node, 'dilations') ?? Array<number>(spatial).fill(1)),
      pads: ints(pads),
    };
    const area = kernel.reduce((a, k) => a * k, 1);
    const weights = b.constant({
      dtype: 'float32',
      dims: [1, 1, ...kernel],
      data: new Float32Array(area).fill(1),
    });
    const ones = (value: string) => {
      const lengths = Array.from({ length: spatial }, (_, i) => lengthOf(b, value, i + 2));
      return b.add('Concat', [b.integers([-1, 1]), ...lengths], { axis: int(0) });
    };
    const single = b.add('Reshape', [dy, ones(y)]);
    const allCount = intAttribute(node, 'count_include_pad', 0) === 1 || pads.every((pad) => pad === 0);
    const shared = allCount
      ? mul(b, single, b.scalar(1 / area))
      : b.add('Div', [single, b.add('Conv', [filled(b, x, spatial), weights], window)]);
    const output = kernel.map((size, i) => {
      const [inside, outside] = [b.dims(x)[i + 2], b.dims(y)[i + 2]];
      if (inside === undefined || outside === undefined) return 0;
      const reach = (size - 1) * (intsAttribute(node, 'dilations')?.[i] ?? 1) + 1;
      const stride = intsAttribute(node, 'strides')?.[i] ?? 1;
      return inside + (pads[i] as number) + (pads[i + spatial] as number) - (outside - 1) * stride - reach;
    });
    const spread = b.add('ConvTranspose', [shared, weights], { ...window, output_padding: ints(output) });
    return b.add('Reshape', [spread, b.add('Shape', [x])]);
  },
];

/** Ones of the spatial shape of x, [1, 1, ...]. */
function filled(b: Builder, x: string, spatial: number): string {
  const lengths = Array.from({ length: spatial }, (_, i) => lengthOf(b, x, i + 2));
  return b.add('Expand', [b.scalar(1), b.add('Concat', [b.integers([1, 1]), ...lengths], { axis: int(0) })]);
}

function unsupportedAverage(node: GraphNode, b: Builder): string | undefined {
  const padding = stringAttribute(node, 'auto_pad', 'NOTSET');
  if (padding !== 'NOTSET' && padding !== 'VALID') return `auto_pad ${padding}`;
  if (intAttribute(node, 'ceil_mode', 0) === 1) return 'ceil_mode';
  const strided = (intsAttribute(node, 'strides') ?? []).some((stride) => stride > 1);
  const open = b
    .dims(node.inputs[0] ?? '')
    .slice(2)
    .includes(undefined);
  return strided && open ? 'strides over free lengths' : undefined;
}

/** To every element that is the largest of its channel. */
const globalMaxPool: VjpRule['vjp'] = ({ build: b, dy, x: [x = ''], y }) => [
  () => mul(b, dy, b.add('Cast', [b.add('Equal', [x, y])], { to: int(1) })),
];

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
  MaxPool: { vjp: maxPool, unsupported: unsupportedMaxPool },
  AveragePool: { vjp: averagePool, unsupported: unsupportedAverage },
  GlobalMaxPool: { vjp: globalMaxPool },
  Resize: { vjp: resize, unsupported: unsupportedResize },
  TopK: { vjp: topK },
};
