/**
 * A model small enough to compute by hand, as a path artifact: two levels' worth of arithmetic in plain loops
 * stand beside it, so that what a node answers can be held to a reference that shares no code with it.
 *
 *   label = argmax(logits),  logits = relu(x·W1 + b1)·W2 + E[token]       x [N, 4], token [N], logits [N, 3]
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, TensorProto_DataLocation } from 'onnx-buf';
import { type ArtifactSource, writeArtifact } from '../../schema/artifact/write.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { valueInfo } from './onnx-parts.ts';

export const TINY = { inputs: 4, units: 6, outputs: 3, tokens: 5, widths: [2, 4, 6] } as const;

const FLOAT = 1;
const INT64 = 7;
const INT_ATTRIBUTE = 2;

interface TinyOptions {
  readonly version?: string;
  /** Multiplies the output layer, so that two versions answer differently. */
  readonly scale?: number;
}

/** Writes the tiny artifact. Level k keeps the first `TINY.widths[k]` units and owns the bias row of the embedding. */
export function writeTinyArtifact(directory: string, options: TinyOptions = {}): Promise<Manifest> {
  const weights = tinyWeights(options.scale ?? 1);
  const { inputs, units, outputs, tokens, widths } = TINY;
  const flops = (width: number) => 2 * width * (inputs + outputs);
  const params = (width: number) => width * (inputs + outputs + 1) + tokens * outputs;
  const header: ArtifactSource['header'] = {
    model: { id: 'tiny', version: options.version ?? 'v1', sourceSha256: '0'.repeat(64) },
    createdAt: '2026-01-01T00:00:00Z',
    task: 'classification',
    inputs: [
      { name: 'x', datatype: 'FP32', shape: [-1, inputs] },
      { name: 'token', datatype: 'INT64', shape: [-1] },
    ],
    outputs: [
      { name: 'logits', datatype: 'FP32', shape: [-1, outputs] },
      { name: 'label', datatype: 'INT64', shape: [-1] },
    ],
    preprocessing: {},
    pairs: [
      {
        name: 'mlp',
        kind: 'sequential',
        heads: 1,
        units,
        flopsPerUnit: flops(1),
        paramsPerUnit: inputs + outputs + 1,
      },
    ],
    tensors: [
      { name: 'W1', dims: [inputs, units], unitAxes: [{ axis: 1, pair: 0, outer: 1, inner: 1 }] },
      { name: 'b1', dims: [units], unitAxes: [{ axis: 0, pair: 0, outer: 1, inner: 1 }] },
      { name: 'W2', dims: [units, outputs], unitAxes: [{ axis: 0, pair: 0, outer: 1, inner: 1 }] },
      { name: 'E', dims: [tokens, outputs], unitAxes: [] },
    ],
    shapeConstants: [],
    search: {},
    seed: 1,
    dataSha256: '0'.repeat(64),
  };
  return writeArtifact(directory, {
    header,
    graph: tinyGraph(),
    weights: new Map(Object.entries({ W1: weights.W1, b1: weights.b1, W2: weights.W2 })),
    levels: widths.map((width, level) => ({
      widths: [width],
      params: params(width),
      flops: flops(width),
      relativeFlops: width / units,
      relativeParams: params(width) / params(units),
      sparsity: 1 - width / units,
      quality: { metric: 'accuracy', value: 0.5, low: 0.4, high: 0.6, samples: 100 },
      latency: [],
      own: new Map([['E', weights.E.map((value) => value + level)]]),
    })),
  });
}

/** What level `level` answers, by loops over the formula above. */
export function tinyReference(
  level: number,
  x: readonly (readonly number[])[],
  token: readonly number[],
  scale = 1,
): { logits: number[][]; label: number[] } {
  const { W1, b1, W2, E } = tinyWeights(scale);
  const width = TINY.widths[level]!;
  const logits = x.map((row, n) =>
    Array.from({ length: TINY.outputs }, (_, o) => {
      let sum = E[token[n]! * TINY.outputs + o]! + level;
      for (let u = 0; u < width; u++) {
        let hidden = b1[u]!;
        for (const [i, value] of row.entries()) hidden += value * W1[i * TINY.units + u]!;
        sum += Math.max(0, hidden) * W2[u * TINY.outputs + o]!;
      }
      return sum;
    }),
  );
  return { logits, label: logits.map((row) => row.indexOf(Math.max(...row))) };
}

function tinyWeights(scale: number) {
  const wave = (length: number, step: number, factor = 1) =>
    Float32Array.from({ length }, (_, i) => factor * Math.sin(1 + step * i));
  const { inputs, units, outputs, tokens } = TINY;
  return {
    W1: wave(inputs * units, 0.7),
    b1: wave(units, 1.3),
    W2: wave(units * outputs, 0.9, scale),
    E: wave(tokens * outputs, 2.1),
  };
}

/** The graph with empty weights, as an artifact holds it. */
function tinyGraph(): Uint8Array {
  const { inputs, units, outputs, tokens } = TINY;
  const weight = (name: string, dims: readonly number[]) => ({
    name,
    dims: dims.map(BigInt),
    dataType: FLOAT,
    // As the trainer leaves them: pointing at weights that each level brings.
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: [{ key: 'location', value: 'weights' }],
  });
  const node = (opType: string, input: string[], output: string, ints: Record<string, number> = {}) => ({
    name: output,
    opType,
    input,
    output: [output],
    attribute: Object.entries(ints).map(([name, value]) => ({ name, type: INT_ATTRIBUTE, i: BigInt(value) })),
  });
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [{ domain: '', version: 17n }],
      graph: {
        name: 'tiny',
        node: [
          node('Gemm', ['x', 'W1', 'b1'], 'pre'),
          node('Relu', ['pre'], 'hidden'),
          node('MatMul', ['hidden', 'W2'], 'projected'),
          node('Gather', ['E', 'token'], 'embedded', { axis: 0 }),
          node('Add', ['projected', 'embedded'], 'logits'),
          node('ArgMax', ['logits'], 'label', { axis: 1, keepdims: 0 }),
        ],
        initializer: [
          weight('W1', [inputs, units]),
          weight('b1', [units]),
          weight('W2', [units, outputs]),
          weight('E', [tokens, outputs]),
        ],
        input: [valueInfo('x', FLOAT, ['N', inputs]), valueInfo('token', INT64, ['N'])],
        output: [valueInfo('logits', FLOAT, ['N', outputs]), valueInfo('label', INT64, ['N'])],
      },
    }),
  );
}
