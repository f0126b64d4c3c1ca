/** A tensor of indices that layout operators carry along: shows where each element came from. */
import { elementCount, type GraphNode, intsAttribute } from './graph.ts';

export interface IndexTensor {
  readonly dims: readonly number[];
  readonly data: Int32Array;
}

/** Every element holds its own index along the last axis. */
export function lastAxisIndices(dims: readonly number[]): IndexTensor {
  const last = dims.at(-1) ?? 1;
  return { dims, data: Int32Array.from({ length: elementCount(dims) }, (_, i) => i % last) };
}

/** `to`: the output's shape, as traced. */
export function applyLayout(node: GraphNode, tensor: IndexTensor, to: readonly number[]): IndexTensor {
  if (node.opType !== 'Transpose') return { dims: to, data: tensor.data };
  const rank = tensor.dims.length;
  const perm = intsAttribute(node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
  return select(
    tensor,
    perm,
    perm.map((axis) => range(tensor.dims[axis] ?? 1)),
  );
}

/** The sub-box of these coordinates, one list an axis. */
export function takeBox(tensor: IndexTensor, box: readonly (readonly number[])[]): IndexTensor {
  return select(tensor, range(tensor.dims.length), box);
}

/**
 * Coordinates along each axis at which some element is wanted.
 * @returns undefined where the wanted elements do not fill the box that these span
 */
export function boxOf(tensor: IndexTensor, wanted: (index: number) => boolean): number[][] | undefined {
  const { dims, data } = tensor;
  const found = dims.map(() => new Set<number>());
  let count = 0;
  for (const [i, index] of data.entries()) {
    if (!wanted(index)) continue;
    count += 1;
    let rest = i;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const length = dims[axis] ?? 1;
      found[axis]?.add(rest % length);
      rest = Math.floor(rest / length);
    }
  }
  const box = found.map((coordinates) => [...coordinates].sort((a, b) => a - b));
  return elementCount(box.map(({ length }) => length)) === count ? box : undefined;
}

export function sameIndices(a: IndexTensor, b: IndexTensor): boolean {
  return (
    a.dims.length === b.dims.length &&
    a.dims.every((dim, axis) => dim === b.dims[axis]) &&
    a.data.every((index, i) => index === b.data[i])
  );
}

/** Output axis i runs over `box[i]` of input axis `axes[i]`. */
function select(
  { dims, data }: IndexTensor,
  axes: readonly number[],
  box: readonly (readonly number[])[],
): IndexTensor {
  const strides = dims.map((_, axis) => elementCount(dims.slice(axis + 1)));
  let offsets = [0];
  for (const [i, axis] of axes.entries()) {
    const stride = strides[axis] ?? 1;
    const steps = (box[i] ?? []).map((coordinate) => coordinate * stride);
    offsets = offsets.flatMap((offset) => steps.map((step) => offset + step));
  }
  return { dims: box.map(({ length }) => length), data: Int32Array.from(offsets, (at) => data[at] ?? -1) };
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
