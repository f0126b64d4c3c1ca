/** Builds small ONNX graphs with random weights, the way exporters write them. */
import type { Attribute, Graph, GraphNode, Tensor } from '../../trainer/graph/graph.ts';
import { elementCount } from '../../trainer/graph/graph.ts';
import { randomSource } from '../../trainer/search/random.ts';

type AttributeValue = number | string | readonly number[] | Attribute;

const MICROSOFT = 'com.microsoft';

export class GraphBuilder {
  readonly #nodes: GraphNode[] = [];
  readonly #initializers = new Map<string, Tensor>();
  readonly #inputs: Graph['inputs'][number][] = [];
  #count = 0;

  input(name: string, dims: readonly (number | string)[], dtype: 'float32' | 'int64' = 'float32'): string {
    this.#inputs.push({ name, dtype, dims });
    return name;
  }

  /**
   * One node of one output; numbers among the attributes are ints, others are written out. Operators of onnxruntime have its domain
   * in front.
   */
  op(
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
  ): string {
    const [output = ''] = this.ops(opType, inputs, 1, attributes);
    return output;
  }

  ops(
    opType: string,
    inputs: readonly string[],
    outputs: number,
    attributes: Readonly<Record<string, AttributeValue>> = {},
  ): string[] {
    const domain = opType.startsWith(`${MICROSOFT}.`) ? MICROSOFT : '';
    const plain = domain === '' ? opType : opType.slice(MICROSOFT.length + 1);
    const name = `${plain}_${this.#count++}`;
    const made = Array.from({ length: outputs }, (_, i) => `${name}_out${i}`);
    const entries = Object.entries(attributes).map(([key, value]) => [key, attribute(value)] as const);
    this.#nodes.push({
      name,
      opType: plain,
      domain,
      inputs,
      outputs: made,
      attributes: Object.fromEntries(entries),
    });
    return made;
  }

  /** Uniform in +-1, about as large as keeps activations near 1. */
  weight(...dims: number[]): string {
    const random = randomSource(1, 200, this.#count);
    const scale = dims.length > 1 ? Math.sqrt(3 / (dims[0] ?? 1)) : 0.5;
    const data = Float32Array.from({ length: elementCount(dims) }, () => scale * (2 * random.uniform() - 1));
    return this.constant({ dtype: 'float32', dims, data });
  }

  constant(tensor: Tensor): string {
    const name = `constant_${this.#count++}`;
    this.#initializers.set(name, tensor);
    return name;
  }

  ints(...values: number[]): string {
    return this.constant({ dtype: 'int64', dims: [values.length], data: BigInt64Array.from(values, BigInt) });
  }

  scalar(value: number): string {
    return this.constant({ dtype: 'float32', dims: [], data: Float32Array.of(value) });
  }

  /** x W + b, as MatMul and Add. */
  linear(x: string, weight: string, bias?: string): string {
    const product = this.op('MatMul', [x, weight]);
    return bias === undefined ? product : this.op('Add', [bias, product]);
  }

  slice(x: string, axis: number, start: number, end: number, step = 1): string {
    return this.op('Slice', [x, this.ints(start), this.ints(end), this.ints(axis), this.ints(step)]);
  }

  build(
    outputs: Readonly<Record<string, readonly [value: string, dims: readonly (number | string)[]]>>,
    opset = 20,
  ): Graph {
    const named = Object.entries(outputs).map(([name, [value, dims]]) => {
      this.#nodes.push({
        name,
        opType: 'Identity',
        domain: '',
        inputs: [value],
        outputs: [name],
        attributes: {},
      });
      return { name, dtype: 'float32' as const, dims };
    });
    return {
      name: 'built',
      irVersion: 9,
      opsets: { '': opset, [MICROSOFT]: 1 },
      inputs: this.#inputs,
      outputs: named,
      initializers: this.#initializers,
      nodes: this.#nodes,
    };
  }
}

function attribute(value: AttributeValue): Attribute {
  if (typeof value === 'number') return { kind: 'int', value };
  if (typeof value === 'string') return { kind: 'string', value };
  return Array.isArray(value) ? { kind: 'ints', value } : (value as Attribute);
}
