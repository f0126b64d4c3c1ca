/**
 * A model of images of any size from one patch on, as a path artifact: the mean of patches, and two linear maps.
 *
 *   logits = relu(mean over patches of 4 x 4 of conv(image) · W1)·W2     image [N, 1, H, W], logits [N, 3]
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { writeArtifact } from '../../schema/artifact/write.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { valueInfo, wave } from './onnx-parts.ts';

const IMAGE = { patch: 4, channels: 4, units: 6, outputs: 3, widths: [3, 6] } as const;
const [FLOAT, INT, INTS] = [1, 2, 7];

export function writeTinyImage(directory: string): Promise<Manifest> {
  const { channels, units, outputs, widths } = IMAGE;
  const { W1, W2 } = weights();
  return writeArtifact(directory, {
    header: {
      model: { id: 'image', version: 'v1', sourceSha256: '0'.repeat(64) },
      createdAt: '2026-01-01T00:00:00Z',
      task: 'classification',
      inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 1, -1, -1] }],
      outputs: [{ name: 'logits', datatype: 'FP32', shape: [-1, outputs] }],
      preprocessing: {},
      pairs: [{ name: 'mlp', kind: 'sequential', heads: 1, units, flopsPerUnit: 14, paramsPerUnit: 7 }],
      tensors: [
        { name: 'W1', dims: [channels, units], unitAxes: [{ axis: 1, pair: 0, outer: 1, inner: 1 }] },
        { name: 'W2', dims: [units, outputs], unitAxes: [{ axis: 0, pair: 0, outer: 1, inner: 1 }] },
      ],
      shapeConstants: [],
      search: {},
      seed: 1,
      dataSha256: '0'.repeat(64),
    },
    graph: graph(),
    weights: new Map(Object.entries({ W1, W2 })),
    levels: widths.map((kept) => ({
      widths: [kept],
      params: 7 * kept,
      flops: 14 * kept,
      relativeFlops: kept / units,
      relativeParams: kept / units,
      sparsity: 1 - kept / units,
      quality: { metric: 'accuracy', value: 0.5, low: 0.4, high: 0.6, samples: 100 },
      latency: [],
      own: new Map(),
    })),
  });
}

/** What the dense level answers for an image whose pixels are all `value`, of any size that patches fill. */
export function imageReference(value: number): number[] {
  const { patch, channels, units, outputs } = IMAGE;
  const { kernel, W1, W2 } = weights();
  const means = Array.from({ length: channels }, (_, c) =>
    kernel.slice(c * patch ** 2, (c + 1) * patch ** 2).reduce((sum, weight) => sum + weight * value, 0),
  );
  const times = (row: readonly number[], matrix: Float32Array, columns: number) =>
    Array.from({ length: columns }, (_, c) =>
      row.reduce((sum, each, i) => sum + each * matrix[i * columns + c]!, 0),
    );
  return times(
    times(means, W1, units).map((hidden) => Math.max(0, hidden)),
    W2,
    outputs,
  );
}

function weights() {
  const { patch, channels, units, outputs } = IMAGE;
  return {
    kernel: wave(channels * patch ** 2, 0.3),
    W1: wave(channels * units, 0.7),
    W2: wave(units * outputs, 0.9),
  };
}

function graph(): Uint8Array {
  const { patch, channels, units, outputs } = IMAGE;
  const weight = (name: string, dims: readonly number[], data?: Float32Array<ArrayBuffer>) => ({
    name,
    dims: dims.map(BigInt),
    dataType: FLOAT,
    ...(data === undefined ? {} : { rawData: new Uint8Array(data.buffer) }),
  });
  const node = (
    opType: string,
    input: string[],
    output: string,
    attribute: { name: string; type: number; i?: bigint; ints?: bigint[] }[] = [],
  ) => ({
    opType,
    input,
    output: [output],
    attribute,
  });
  const sides = (name: string) => ({ name, type: INTS, ints: [BigInt(patch), BigInt(patch)] });
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [{ domain: '', version: 17n }],
      graph: {
        name: 'image',
        node: [
          node('Conv', ['image', 'kernel'], 'patches', [sides('kernel_shape'), sides('strides')]),
          node('GlobalAveragePool', ['patches'], 'means'),
          node('Flatten', ['means'], 'mean', [{ name: 'axis', type: INT, i: 1n }]),
          node('MatMul', ['mean', 'W1'], 'pre'),
          node('Relu', ['pre'], 'hidden'),
          node('MatMul', ['hidden', 'W2'], 'logits'),
        ],
        initializer: [
          weight('kernel', [channels, 1, patch, patch], weights().kernel),
          weight('W1', [channels, units]),
          weight('W2', [units, outputs]),
        ],
        input: [valueInfo('image', FLOAT, ['N', 1, 'H', 'W'])],
        output: [valueInfo('logits', FLOAT, ['N', outputs])],
      },
    }),
  );
}
