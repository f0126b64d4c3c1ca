/**
 * First and second moments of activations: what rotation whitens by and compensation regresses on.
 * onnxruntime multiplies a micro-batch's rows by themselves in float32, the host adds micro-batches up in float64,
 * and no activation is ever kept.
 */
import { SppError } from '../../schema/errors.ts';
import { type Attribute, elementCount, type Graph, type GraphNode, type Tensor } from '../graph/graph.ts';
import { draftOf } from '../graph/rewrite.ts';
import { rowCondition, type TokenRows, tokensAlone } from './token-rows.ts';

/** Over all rows (every leading index) of an activation whose last axis has `size` entries, but for those of padding. */
export interface Moments {
  readonly size: number;
  readonly count: number;
  /** [size] */
  readonly sum: Float64Array;
  /** [size, size], not centred. */
  readonly gram: Float64Array;
}

/**
 * The graph with the moments of `tensors` as its only outputs.
 * @param tokens of which tensors only rows that are tokens count
 */
export function momentsGraph(
  graph: Graph,
  tensors: readonly string[],
  tokens: ReadonlyMap<string, TokenRows> = new Map(),
): Graph {
  const draft = draftOf(graph);
  const { nodes, initializers } = draft;
  nodes.push(...graph.nodes);
  // Sums take their axes as an input from opset 13 on, and as an attribute before.
  const axesAreInputs = (graph.opsets[''] ?? 0) >= 13;
  if (axesAreInputs)
    initializers.set('moments/axis', { dtype: 'int64', dims: [1], data: BigInt64Array.of(0n) });
  const keepdims: Attribute = { kind: 'int', value: 0 };
  const add = (opType: string, inputs: string[], output: string, attributes: GraphNode['attributes'] = {}) =>
    nodes.push({ name: output, opType, domain: '', inputs, outputs: [output], attributes });
  for (const tensor of tensors) {
    const [all, transposed] = [`${tensor}/rows`, `${tensor}/columns`];
    // Flatten at -1 keeps the last axis and folds all others, whatever their number.
    add('Flatten', [tensor], all, { axis: { kind: 'int', value: -1 } });
    const masked = tokens.get(tensor);
    const rows = masked === undefined ? all : tokensAlone(draft, all, rowCondition(draft, masked));
    add('Transpose', [rows], transposed, { perm: { kind: 'ints', value: [1, 0] } });
    add('MatMul', [transposed, rows], gramName(tensor));
    if (axesAreInputs) add('ReduceSum', [rows, 'moments/axis'], sumName(tensor), { keepdims });
    else add('ReduceSum', [rows], sumName(tensor), { keepdims, axes: { kind: 'ints', value: [0] } });
    add('Shape', [rows], rowsName(tensor));
  }
  const outputs = tensors.flatMap((tensor) => [
    { name: gramName(tensor), dtype: 'float32' as const, dims: ['gram0', 'gram1'] },
    { name: sumName(tensor), dtype: 'float32' as const, dims: ['sum0'] },
    { name: rowsName(tensor), dtype: 'int64' as const, dims: [2] },
  ]);
  return { ...graph, initializers, nodes, outputs };
}

/** Adds up what runs of a moments graph give. */
export class MomentsAccumulator {
  private readonly totals = new Map<
    string,
    { size: number; count: number; sum: Float64Array; gram: Float64Array }
  >();
  private readonly tensors: readonly string[];

  constructor(tensors: readonly string[]) {
    this.tensors = tensors;
  }

  /** @throws `numerical-failure` when an activation is not finite */
  add(outputs: Readonly<Record<string, Tensor>>): void {
    for (const tensor of this.tensors) {
      const gram = required(outputs, gramName(tensor));
      const sum = required(outputs, sumName(tensor));
      const rows = Number(required(outputs, rowsName(tensor)).data[0]);
      const size = elementCount(sum.dims);
      const total = this.totals.get(tensor) ?? {
        size,
        count: 0,
        sum: new Float64Array(size),
        gram: new Float64Array(size * size),
      };
      for (const [i, value] of sum.data.entries()) total.sum[i] = (total.sum[i] ?? 0) + Number(value);
      for (const [i, value] of gram.data.entries()) total.gram[i] = (total.gram[i] ?? 0) + Number(value);
      total.count += rows;
      if (!total.gram.every(Number.isFinite)) {
        throw new SppError(
          'numerical-failure',
          `The activation ${tensor} is not finite on the calibration data.`,
          {
            hint: 'Check the data and its normalisation; the dense model itself overflows on it.',
          },
        );
      }
      this.totals.set(tensor, total);
    }
  }

  /** Of the activation with the most. */
  get rows(): number {
    return [...this.totals.values()].reduce((most, { count }) => Math.max(most, count), 0);
  }

  /** Entries of the widest activation. */
  get widest(): number {
    return [...this.totals.values()].reduce((most, { size }) => Math.max(most, size), 1);
  }

  result(): Map<string, Moments> {
    return new Map(this.totals);
  }
}

const gramName = (tensor: string) => `${tensor}/gram`;
const sumName = (tensor: string) => `${tensor}/sum`;
const rowsName = (tensor: string) => `${tensor}/shape`;

function required(outputs: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const tensor = outputs[name];
  if (tensor === undefined) throw new SppError('internal', `The moments graph gave no ${name}.`);
  return tensor;
}
