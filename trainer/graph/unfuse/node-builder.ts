/** What takes one operator apart: plain ONNX nodes in its place, named after it, in the form that the graph's opset wants. */
import type { Attribute, Dtype, Graph, GraphNode, Tensor } from '../graph.ts';
import { type Draft, int64 } from '../rewrite.ts';
import type { Trace } from '../traces.ts';

/** Axes and sizes are inputs from this opset on, those of reductions (but ReduceSum) from `REDUCTION_INPUT`. */
const AXES_INPUT = 13;
const REDUCTION_INPUT = 18;

/** What is known of values before they are taken apart: their shapes and types in some runs. */
export type Shapes = readonly Pick<Trace, 'dims' | 'dtypes'>[];

export interface NodeBuilder {
  readonly node: GraphNode;
  readonly opset: number;
  /** undefined where the value was not traced. */
  rank(value: string): number | undefined;
  /** An axis' length where it is the same in all runs; negative axes count from the end. */
  fixed(value: string, axis: number): number | undefined;
  /** Do two axes have the same length in each run? */
  sameLength(value: string, axis: number, other: string, otherAxis: number): boolean;
  dtype(value: string): Dtype | undefined;
  initializer(value: string): Tensor | undefined;
  /** An input's name; undefined where it is absent. */
  input(index: number): string | undefined;
  /** Does anything want this output? */
  wants(output: number): boolean;

  op(opType: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): string;
  scalar(value: number): string;
  integer(value: number): string;
  constant(tensor: Tensor): string;
  reshape(x: string, shape: readonly number[]): string;
  transpose(x: string, perm: readonly number[]): string;
  unsqueeze(x: string, axes: readonly number[]): string;
  squeeze(x: string, axes: readonly number[]): string;
  slice(x: string, axis: number, start: number, end: number, step?: number): string;
  split(x: string, axis: number, sizes: readonly number[]): string[];
  concat(parts: readonly string[], axis: number): string;
  cast(x: string, to: keyof typeof elementTypes): string;
  /** Keeps the reduced axes. */
  reduce(opType: `Reduce${string}`, x: string, axes: readonly number[]): string;
  /** Of one axis, an int64 scalar. */
  length(x: string, axis: number): string;
  /** 0, 1, ... below an int64 scalar. */
  range(limit: string): string;
}

const elementTypes = { float32: 1, int32: 6, int64: 7, bool: 9 } as const;

const int = (value: number): Attribute => ({ kind: 'int', value });
const ints = (value: readonly number[]): Attribute => ({ kind: 'ints', value });

export function nodeBuilder(draft: Draft, graph: Graph, shapes: Shapes, node: GraphNode): NodeBuilder {
  const opset = graph.opsets[''] ?? 0;
  const dims = (value: string) => graph.initializers.get(value)?.dims ?? shapes[0]?.dims.get(value);
  const op: NodeBuilder['op'] = (opType, inputs, attributes) =>
    draft.add(opType, inputs, `${node.name}_${opType}`, attributes);
  const constant = (tensor: Tensor) => draft.constant(`${node.name}_constant`, tensor);
  const vector = (values: readonly number[]) => constant(int64(values));
  const alongAxes = (opType: string, x: string, axes: readonly number[]) =>
    opset >= AXES_INPUT ? op(opType, [x, vector(axes)]) : op(opType, [x], { axes: ints(axes) });
  const scalar = (value: number) => constant({ dtype: 'float32', dims: [], data: Float32Array.of(value) });
  const integer = (value: number) => constant(int64(value));
  return {
    node,
    opset,
    rank: (value) => dims(value)?.length,
    fixed(value, axis) {
      const own = graph.initializers.get(value)?.dims;
      const lengths = own ? [own.at(axis)] : shapes.map((run) => run.dims.get(value)?.at(axis));
      const [first] = lengths;
      return lengths.every((length) => length === first) ? first : undefined;
    },
    sameLength: (value, axis, other, otherAxis) =>
      shapes.every(
        ({ dims: run }) => run.has(value) && run.get(value)?.at(axis) === run.get(other)?.at(otherAxis),
      ),
    dtype: (value) => graph.initializers.get(value)?.dtype ?? shapes[0]?.dtypes.get(value),
    initializer: (value) => graph.initializers.get(value),
    input: (index) => node.inputs[index] || undefined,
    wants: (output) => (node.outputs[output] ?? '') !== '',
    op,
    scalar,
    integer,
    constant,
    reshape: (x, shape) => op('Reshape', [x, vector(shape)]),
    transpose: (x, perm) => op('Transpose', [x], { perm: ints(perm) }),
    unsqueeze: (x, axes) => alongAxes('Unsqueeze', x, axes),
    squeeze: (x, axes) => alongAxes('Squeeze', x, axes),
    slice(x, axis, start, end, step = 1) {
      const bounds = [vector([start]), vector([end]), vector([axis])];
      return op('Slice', [x, ...bounds, ...(step === 1 ? [] : [vector([step])])]);
    },
    split(x, axis, sizes) {
      const name = draft.fresh(`${node.name}_Split`);
      const outputs = sizes.map((_, i) => draft.fresh(`${name}_${i}`));
      const byInput = opset >= AXES_INPUT;
      draft.nodes.push({
        name,
        opType: 'Split',
        domain: '',
        inputs: byInput ? [x, vector(sizes)] : [x],
        outputs,
        attributes: byInput ? { axis: int(axis) } : { axis: int(axis), split: ints(sizes) },
      });
      return outputs;
    },
    concat: (parts, axis) =>
      parts.length === 1 ? (parts[0] as string) : op('Concat', parts, { axis: int(axis) }),
    cast: (x, to) => op('Cast', [x], { to: int(elementTypes[to]) }),
    reduce(opType, x, axes) {
      const byInput = opset >= (opType === 'ReduceSum' ? AXES_INPUT : REDUCTION_INPUT);
      return byInput ? op(opType, [x, vector(axes)]) : op(opType, [x], { axes: ints(axes) });
    },
    length: (x, axis) => op('Gather', [op('Shape', [x]), integer(axis)], { axis: int(0) }),
    range: (limit) => op('Range', [integer(0), limit, integer(1)]),
  };
}

/** How one operator is written in others: the values that stand for its outputs, in order; undefined leaves the node as it is. */
export type Unfold = (b: NodeBuilder) => readonly string[] | undefined;

/** Elements `start` to `end` of a vector, as a constant where the vector is one. */
export function vectorPart(b: NodeBuilder, vector: string, start: number, end: number): string {
  const tensor = b.initializer(vector);
  if (tensor?.dtype !== 'float32') return b.slice(vector, 0, start, end);
  const data = (tensor.data as Float32Array).slice(start, end);
  return b.constant({ dtype: 'float32', dims: [data.length], data });
}
