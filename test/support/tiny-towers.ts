/**
 * A model that compares every row of one input with every row of the other, as CLIP does with images and texts, small enough to
 * compute by hand:
 *
 *   scores = relu(image·W1)·W2·textᵀ     image [N, 4], text [M, 4], scores [N, M]
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { writeArtifact } from '../../schema/artifact/write.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { valueInfo, wave } from './onnx-parts.ts';

const [FLOAT, WIDTH, UNITS] = [1, 4, 6];

export function writeTinyTowers(directory: string): Promise<Manifest> {
  const { W1, W2 } = weights();
  return writeArtifact(directory, {
    header: {
      model: { id: 'towers', version: 'v1', sourceSha256: '0'.repeat(64) },
      createdAt: '2026-01-01T00:00:00Z',
      task: 'two towers',
      inputs: [
        { name: 'image', datatype: 'FP32', shape: [-1, WIDTH] },
        { name: 'text', datatype: 'FP32', shape: [-1, WIDTH] },
      ],
      outputs: [{ name: 'scores', datatype: 'FP32', shape: [-1, -1] }],
      preprocessing: {},
      pairs: [
        { name: 'mlp', kind: 'sequential', heads: 1, units: UNITS, flopsPerUnit: 16, paramsPerUnit: 8 },
      ],
      tensors: [
        { name: 'W1', dims: [WIDTH, UNITS], unitAxes: [{ axis: 1, pair: 0, outer: 1, inner: 1 }] },
        { name: 'W2', dims: [UNITS, WIDTH], unitAxes: [{ axis: 0, pair: 0, outer: 1, inner: 1 }] },
      ],
      shapeConstants: [],
      search: {},
      seed: 1,
      dataSha256: '0'.repeat(64),
    },
    graph: graph(),
    weights: new Map(Object.entries({ W1, W2 })),
    levels: [3, UNITS].map((kept) => ({
      widths: [kept],
      params: 8 * kept,
      flops: 16 * kept,
      relativeFlops: kept / UNITS,
      relativeParams: kept / UNITS,
      sparsity: 1 - kept / UNITS,
      quality: { metric: 'recall', value: 0.5, low: 0.4, high: 0.6, samples: 100 },
      latency: [],
      own: new Map(),
    })),
  });
}

/** What the dense level answers, [N, M]. */
export function towersReference(
  images: readonly (readonly number[])[],
  texts: readonly (readonly number[])[],
): number[][] {
  const { W1, W2 } = weights();
  const times = (row: readonly number[], matrix: Float32Array, columns: number) =>
    Array.from({ length: columns }, (_, c) =>
      row.reduce((sum, value, i) => sum + value * matrix[i * columns + c]!, 0),
    );
  return images.map((image) => {
    const hidden = times(image, W1, UNITS).map((value) => Math.max(0, value));
    const embedding = times(hidden, W2, WIDTH);
    return texts.map((text) => text.reduce((sum, value, i) => sum + value * embedding[i]!, 0));
  });
}

function weights() {
  return { W1: wave(WIDTH * UNITS, 0.7), W2: wave(UNITS * WIDTH, 0.9) };
}

function graph(): Uint8Array {
  const node = (opType: string, input: string[], output: string) => ({ opType, input, output: [output] });
  const weight = (name: string, dims: readonly number[]) => ({
    name,
    dims: dims.map(BigInt),
    dataType: FLOAT,
  });
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [{ domain: '', version: 17n }],
      graph: {
        name: 'towers',
        node: [
          node('MatMul', ['image', 'W1'], 'pre'),
          node('Relu', ['pre'], 'hidden'),
          node('MatMul', ['hidden', 'W2'], 'embedding'),
          node('Transpose', ['text'], 'turned'),
          node('MatMul', ['embedding', 'turned'], 'scores'),
        ],
        initializer: [weight('W1', [WIDTH, UNITS]), weight('W2', [UNITS, WIDTH])],
        input: [valueInfo('image', FLOAT, ['N', WIDTH]), valueInfo('text', FLOAT, ['M', WIDTH])],
        output: [valueInfo('scores', FLOAT, ['N', 'M'])],
      },
    }),
  );
}
