/** A tensor of indices that layout operators carry along: shows where each element came from. */
import { elementCount, type GraphNode, intsAttribute } from './graph.ts';

export interface IndexTensor {
  readonly dims: readonly number[];
  readonly data: Int32Array;
}

/** Every element holds its own index along the last axis. */
export function lastAxisIndices(dims: readonly number[]): IndexTensor {
  const last = dims.at(-1) ?? 1;
  const data = new Int32Array(elementCount(dims));
  for (let i = 0; i < data.length; i++) data[i] = i % last;
  return { dims, data };
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
  // One question an index, not one an element: large models have millions of these.
  const answers = new Map<number, boolean>();
  const found = dims.map((length) => new Uint8Array(length));
  let count = 0;
  for (let i = 0; i < data.length; i++) {
    const index = data[i] as number;
    let want = answers.get(index);
    if (want === undefined) {
      want = wanted(index);
      answers.set(index, want);
    }
    if (!want) continue;
    count += 1;
    let rest = i;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const length = dims[axis] as number;
      (found[axis] as Uint8Array)[rest % length] = 1;
      rest = Math.floor(rest / length);
    }
  }
  const box = found.map((flags) => range(flags.length).filter((at) => flags[at] === 1));
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
  const steps = axes.map((axis, i) => Int32Array.from(box[i] ?? [], (at) => at * (strides[axis] ?? 1)));
  const out = new Int32Array(elementCount(steps.map(({ length }) => length)));
  const at = steps.map(() => 0);
  const last = steps.length - 1;
  for (let i = 0; i < out.length; ) {
    let from = 0;
    for (let axis = 0; axis < last; axis++) from += steps[axis]?.[at[axis] as number] ?? 0;
    // The innermost axis runs by itself.
    if (last < 0) out[i++] = data[from] ?? -1;
    else for (const step of steps[last] as Int32Array) out[i++] = data[from + step] ?? -1;
    for (let axis = last - 1; axis >= 0; axis--) {
      at[axis] = (at[axis] as number) + 1;
      if ((at[axis] as number) < (steps[axis] as Int32Array).length) break;
      at[axis] = 0;
    }
  }
  return { dims: box.map(({ length }) => length), data: out };
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
