/**
 * A model of sequences small enough to compute by hand, as a path artifact: token embeddings, gated by the mask or not,
 * their mean, and two linear maps.
 *
 *   states = E[input_ids] (* mask)     [N, S, 4]
 *   logits = relu(mean over S · W1)·W2 [N, 3]     the mean over what the mask marks, or over all positions
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { writeArtifact } from '../../schema/artifact/write.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { valueInfo, wave } from './onnx-parts.ts';

const SEQUENCE = { tokens: 5, width: 4, units: 6, outputs: 3, widths: [2, 6] } as const;

const [FLOAT, INT64] = [1, 7];

/** @param masked whether the model keeps to its mask, so that filling up a sequence changes nothing */
export function writeTinySequence(directory: string, masked: boolean): Promise<Manifest> {
  const { tokens, width, units, outputs, widths } = SEQUENCE;
  const { E, W1, W2 } = weights();
  return writeArtifact(directory, {
    header: {
      model: { id: 'sequence', version: masked ? 'masked' : 'plain', sourceSha256: '0'.repeat(64) },
      createdAt: '2026-01-01T00:00:00Z',
      task: 'classification',
      inputs: [
        { name: 'input_ids', datatype: 'INT64', shape: [-1, -1] },
        { name: 'attention_mask', datatype: 'INT64', shape: [-1, -1] },
      ],
      outputs: [
        { name: 'logits', datatype: 'FP32', shape: [-1, outputs] },
        { name: 'states', datatype: 'FP32', shape: [-1, -1, width] },
      ],
      preprocessing: {},
      pairs: [{ name: 'mlp', kind: 'sequential', heads: 1, units, flopsPerUnit: 14, paramsPerUnit: 7 }],
      tensors: [
        { name: 'E', dims: [tokens, width], unitAxes: [] },
        { name: 'W1', dims: [width, units], unitAxes: [{ axis: 1, pair: 0, outer: 1, inner: 1 }] },
        { name: 'W2', dims: [units, outputs], unitAxes: [{ axis: 0, pair: 0, outer: 1, inner: 1 }] },
      ],
      shapeConstants: [],
      search: {},
      seed: 1,
      dataSha256: '0'.repeat(64),
    },
    graph: graphOf(masked),
    weights: new Map(Object.entries({ E, W1, W2 })),
    levels: widths.map((kept) => ({
      widths: [kept],
      params: 20 + 7 * kept,
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

/** What a level answers for one sequence of which all tokens count. */
export function sequenceReference(
  level: number,
  ids: readonly number[],
): { logits: number[]; states: number[] } {
  const { width, units, outputs, widths } = SEQUENCE;
  const { E, W1, W2 } = weights();
  const states = ids.flatMap((id) => [...E.subarray(id * width, (id + 1) * width)]);
  const mean = Array.from(
    { length: width },
    (_, w) => ids.reduce((sum, id) => sum + E[id * width + w]!, 0) / ids.length,
  );
  const hidden = Array.from({ length: widths[level]! }, (_, u) =>
    Math.max(
      0,
      mean.reduce((sum, value, w) => sum + value * W1[w * units + u]!, 0),
    ),
  );
  const logits = Array.from({ length: outputs }, (_, o) =>
    hidden.reduce((sum, value, u) => sum + value * W2[u * outputs + o]!, 0),
  );
  return { logits, states };
}

function weights() {
  const { tokens, width, units, outputs } = SEQUENCE;
  return { E: wave(tokens * width, 0.7), W1: wave(width * units, 1.3), W2: wave(units * outputs, 0.9) };
}

function graphOf(masked: boolean): Uint8Array {
  const { tokens, width, units, outputs } = SEQUENCE;
  const node = (opType: string, input: string[], output: string, ints: Record<string, number> = {}) => ({
    opType,
    input,
    output: [output],
    attribute: Object.entries(ints).map(([name, value]) => ({ name, type: 2, i: BigInt(value) })),
  });
  const weight = (name: string, dims: readonly number[]) => ({
    name,
    dims: dims.map(BigInt),
    dataType: FLOAT,
  });
  const axis = (name: string, value: number) => ({
    name,
    dims: [1n],
    dataType: INT64,
    rawData: new Uint8Array(BigInt64Array.of(BigInt(value)).buffer),
  });
  const pooled = masked
    ? [
        node('Mul', ['embedded', 'mask'], 'states'),
        node('ReduceSum', ['states', 'one'], 'sum', { keepdims: 0 }),
        node('ReduceSum', ['mask', 'one'], 'count', { keepdims: 0 }),
        node('Div', ['sum', 'count'], 'mean'),
      ]
    : [
        node('Identity', ['embedded'], 'states'),
        node('ReduceMean', ['states', 'one'], 'mean', { keepdims: 0 }),
      ];
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [{ domain: '', version: 18n }],
      graph: {
        name: 'sequence',
        node: [
          node('Gather', ['E', 'input_ids'], 'embedded'),
          node('Cast', ['attention_mask'], 'marks', { to: FLOAT }),
          node('Unsqueeze', ['marks', 'two'], 'mask'),
          ...pooled,
          node('MatMul', ['mean', 'W1'], 'pre'),
          node('Relu', ['pre'], 'hidden'),
          node('MatMul', ['hidden', 'W2'], 'logits'),
        ],
        initializer: [
          weight('E', [tokens, width]),
          weight('W1', [width, units]),
          weight('W2', [units, outputs]),
          axis('one', 1),
          axis('two', 2),
        ],
        input: [valueInfo('input_ids', INT64, ['N', 'S']), valueInfo('attention_mask', INT64, ['N', 'S'])],
        output: [valueInfo('logits', FLOAT, ['N', outputs]), valueInfo('states', FLOAT, ['N', 'S', width])],
      },
    }),
  );
}
