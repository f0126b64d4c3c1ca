/** Pooling: the gradient goes back to the elements that a window was made of. */
import { type GraphNode, intAttribute, intsAttribute, stringAttribute } from '../../graph/graph.ts';
import { placesCounted, sidesOf } from '../../graph/ops/pool.ts';
import type { Builder } from '../builder.ts';
import { int, ints, lengthOf, mul, text, zerosLike } from '../expressions.ts';
import type { VjpRule, VjpTable } from '../rule.ts';
import { type Geometry, spreadTo } from './convolve.ts';

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
 * What each window gives back goes to all its places: the transposed convolution with ones, in which channels are examples,
 * [N C, 1, ...].
 * @param values [N, C, counts...]
 * @returns [the shape of x]
 */
function toPlaces(b: Builder, node: GraphNode, values: string, x: string, y: string): string {
  const spatial = spatialOf(b, x);
  const lengths = Array.from({ length: spatial }, (_, i) => lengthOf(b, y, i + 2));
  const single = b.add('Reshape', [
    values,
    b.add('Concat', [b.integers([-1, 1]), ...lengths], { axis: int(0) }),
  ]);
  const spread = spreadTo(b, single, onesOf(b, node), x, windowOf(node, lengthsOf(b, x)));
  return b.add('Reshape', [spread, b.add('Shape', [x])]);
}

/** [1, 1, kernel...] */
function onesOf(b: Builder, node: GraphNode): string {
  const kernel = intsAttribute(node, 'kernel_shape') ?? [];
  const area = kernel.reduce((product, size) => product * size, 1);
  return b.constant({ dtype: 'float32', dims: [1, 1, ...kernel], data: new Float32Array(area).fill(1) });
}

/** Lengths that are free stand as 0: only paddings that ask for them need them, and those are refused then. */
function windowOf(node: GraphNode, lengths: readonly (number | undefined)[]): Geometry {
  const sides = sidesOf(
    node,
    lengths.map((length) => length ?? 0),
  );
  return {
    strides: sides.map(({ stride }) => stride),
    dilations: sides.map(({ dilation }) => dilation),
    pads: [...sides.map(({ pads: [before] }) => before), ...sides.map(({ pads: [, after] }) => after)],
    group: 1,
  };
}

function lengthsOf(b: Builder, x: string): readonly (number | undefined)[] {
  return b.dims(x).slice(2);
}

/** dy, divided by how many places count. */
const averagePool: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''], y }) => [
  () => {
    const lengths = lengthsOf(b, x);
    const known = lengths.filter((length) => length !== undefined);
    const shares = () => {
      if (known.length === lengths.length) {
        const { dims, data } = placesCounted(node, sidesOf(node, known));
        const [first = 1] = data;
        if (data.every((count) => count === first)) return mul(b, dy, b.scalar(1 / first));
        return b.add('Div', [dy, b.constant({ dtype: 'float32', dims, data })]);
      }
      const { strides, dilations, pads } = windowOf(node, lengths);
      const area = (intsAttribute(node, 'kernel_shape') ?? []).reduce((product, size) => product * size, 1);
      if (intAttribute(node, 'count_include_pad', 0) === 1 || pads.every((pad) => pad === 0))
        return mul(b, dy, b.scalar(1 / area));
      const counts = b.add('Conv', [filled(b, x), onesOf(b, node)], {
        strides: ints(strides),
        dilations: ints(dilations),
        pads: ints(pads),
      });
      return b.add('Div', [dy, counts]);
    };
    return toPlaces(b, node, shares(), x, y);
  },
];

/** Ones of the spatial shape of x, [1, 1, ...]. */
function filled(b: Builder, x: string): string {
  const lengths = Array.from({ length: spatialOf(b, x) }, (_, i) => lengthOf(b, x, i + 2));
  return b.add('Expand', [b.scalar(1), b.add('Concat', [b.integers([1, 1]), ...lengths], { axis: int(0) })]);
}

/** y = (sum |x|^p)^(1/p): dx = sign(x) |x|^(p-1) y^(1-p) dy; none where all of a window is 0. */
const lpPool: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''], y }) => [
  () => {
    const p = intAttribute(node, 'p', 2);
    const share = b.add('Where', [
      b.add('Equal', [y, b.scalar(0)]),
      b.scalar(0),
      mul(b, dy, b.add('Pow', [y, b.scalar(1 - p)])),
    ]);
    const slope = mul(b, b.add('Sign', [x]), b.add('Pow', [b.add('Abs', [x]), b.scalar(p - 1)]));
    return mul(b, slope, toPlaces(b, node, share, x, y));
  },
];

function unsupportedWindow(node: GraphNode, b: Builder): string | undefined {
  const byLength =
    stringAttribute(node, 'auto_pad', 'NOTSET').startsWith('SAME') ||
    (node.opType === 'AveragePool' && intAttribute(node, 'ceil_mode', 0) === 1);
  const free = lengthsOf(b, node.inputs[0] ?? '').includes(undefined);
  return byLength && free ? 'padding by output size over free lengths' : undefined;
}

/** To every element that is the largest of its channel. */
const globalMaxPool: VjpRule['vjp'] = ({ build: b, dy, x: [x = ''], y }) => [
  () => mul(b, dy, b.add('Cast', [b.add('Equal', [x, y])], { to: int(1) })),
];

export const poolRules: VjpTable = {
  MaxPool: { vjp: maxPool, unsupported: unsupportedMaxPool },
  AveragePool: { vjp: averagePool, unsupported: unsupportedWindow },
  LpPool: { vjp: lpPool, unsupported: unsupportedWindow },
  GlobalMaxPool: { vjp: globalMaxPool },
};
