import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import {
  AttributeProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
} from 'onnx-buf';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { SppError } from '../../schema/errors.ts';
import type { Graph, Tensor } from './graph.ts';
import { readOnnx, writeOnnx } from './onnx-file.ts';
import { readOnnxFile } from './onnx-load.ts';
import { brainToFloat, halfToFloat } from './onnx-tensor.ts';
import { relativeError } from './relative-error.ts';

const DIGITS = new URL('../../examples/digits/digits.onnx', import.meta.url);

function identityGraph(initializers: [string, Tensor][] = []): Graph {
  return {
    name: 'identity',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'x', dtype: 'float32', dims: ['batch', 2] }],
    outputs: [{ name: 'y', dtype: 'float32', dims: ['batch', 2] }],
    initializers: new Map(initializers),
    nodes: [{ name: 'n', opType: 'Identity', domain: '', inputs: ['x'], outputs: ['y'], attributes: {} }],
  };
}

function edited(edit: (model: ModelProto) => void, graph = identityGraph()): Uint8Array {
  const model = fromBinary(ModelProtoSchema, writeOnnx(graph));
  edit(model);
  return toBinary(ModelProtoSchema, model);
}

function failure(read: () => unknown): SppError {
  try {
    read();
  } catch (error) {
    if (error instanceof SppError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('writing and reading', () => {
  test('gives the same graph again', () => {
    const graph = readOnnx(readFileSync(DIGITS), 'digits.onnx');
    expect(readOnnx(writeOnnx(graph), 'again')).toEqual(graph);
  });

  test('gives a model that onnxruntime runs with the same outputs', async () => {
    const original = readFileSync(DIGITS);
    const written = writeOnnx(readOnnx(original, 'digits.onnx'));
    const data = Float32Array.from({ length: 2 * 28 * 28 }, (_, i) => Math.sin(i * 0.7));
    const feeds = { pixel_values: new OrtTensor('float32', data, [2, 1, 28, 28]) };
    const [a, b] = await Promise.all(
      [original, written].map(async (bytes) => (await InferenceSession.create(bytes)).run(feeds)),
    );
    // Not bit for bit: onnxruntime fuses in another order when constants are initializers.
    expect(
      relativeError(b?.logits?.data as Float32Array, a?.logits?.data as Float32Array).relative,
    ).toBeLessThan(1e-6);
  });

  test('keeps every element of any tensor', () => {
    const tensor = fc.oneof(
      fc.float32Array().map((data): Tensor => ({ dtype: 'float32', dims: [data.length], data })),
      fc.float64Array().map((data): Tensor => ({ dtype: 'float64', dims: [1, data.length], data })),
      fc.bigInt64Array().map((data): Tensor => ({ dtype: 'int64', dims: [data.length], data })),
      fc.int32Array().map((data): Tensor => ({ dtype: 'int32', dims: [data.length, 1], data })),
      fc.uint8Array().map((data): Tensor => ({ dtype: 'uint8', dims: [data.length], data })),
    );
    fc.assert(
      fc.property(tensor, (value) => {
        const again = readOnnx(writeOnnx(identityGraph([['w', value]])), 'again');
        expect(again.initializers.get('w')).toEqual(value);
      }),
    );
  });

  test('keeps attributes, with INT64_MAX brought back into range', () => {
    const base = identityGraph();
    const attributes = {
      a: { kind: 'int', value: -3 },
      b: { kind: 'float', value: 0.5 },
      c: { kind: 'string', value: 'tänh' },
      d: { kind: 'ints', value: [1, 2] },
      e: { kind: 'floats', value: [0.25] },
      f: { kind: 'strings', value: ['x', 'y'] },
      g: { kind: 'tensor', value: { dtype: 'float32', dims: [1], data: Float32Array.of(2) } },
      h: { kind: 'int', value: 2 ** 63 },
    } as const;
    const graph: Graph = { ...base, nodes: base.nodes.map((node) => ({ ...node, attributes })) };
    expect(readOnnx(writeOnnx(graph), 'again').nodes[0]?.attributes).toEqual(attributes);
  });
});

describe('reading', () => {
  test('widens half floats, typed or raw, exactly', () => {
    const halves = {
      bits: [0x3c00, 0xc000, 0x0001, 0x7c00, 0x3555],
      values: [1, -2, 2 ** -24, Infinity, 0.333251953125],
    };
    const raw = new Uint8Array(Uint16Array.from(halves.bits).buffer);
    const bytes = edited((model) => {
      const types = TensorProto_DataType;
      const base = { dims: [BigInt(halves.bits.length)] };
      model.graph?.initializer.push(
        ...[
          { ...base, name: 'typed', dataType: types.FLOAT16, int32Data: halves.bits },
          { ...base, name: 'raw', dataType: types.FLOAT16, rawData: raw },
        ].map((init) => create(TensorProtoSchema, init)),
      );
    });
    const graph = readOnnx(bytes, 'half');
    for (const name of ['typed', 'raw'])
      expect(graph.initializers.get(name)).toEqual({
        dtype: 'float32',
        dims: [5],
        data: Float32Array.from(halves.values),
      });
    expect(halfToFloat(0xfe00)).toBeNaN();
    expect([brainToFloat(0x3f80), brainToFloat(0xc049)]).toEqual([1, -3.140625]);
  });

  test('turns Constant nodes into initializers', () => {
    const base = identityGraph();
    const graph = readOnnx(
      writeOnnx({
        ...base,
        nodes: [
          {
            name: 'c',
            opType: 'Constant',
            domain: '',
            inputs: [],
            outputs: ['two'],
            attributes: { value_ints: { kind: 'ints', value: [2] } },
          },
          ...base.nodes,
        ],
      }),
      'constant',
    );
    expect(graph.nodes.map((node) => node.opType)).toEqual(['Identity']);
    expect(graph.initializers.get('two')).toEqual({ dtype: 'int64', dims: [1], data: BigInt64Array.of(2n) });
  });

  test('takes dimensions of -1 and ?, as converters of Paddle write them, for free ones, each by itself', () => {
    const base = identityGraph();
    const inputs = base.inputs.map((input) => ({ ...input, dims: [-1, 3, '?', '?'] }));
    const [input] = readOnnx(writeOnnx({ ...base, inputs }), 'paddle').inputs;
    expect(input?.dims).toEqual(['x_dim0', 3, 'x_dim2', 'x_dim3']);
  });

  test('names nodes without a name, uniquely', () => {
    const bytes = edited((model) => {
      const nodes = model.graph?.node ?? [];
      const [first] = nodes;
      nodes.push(
        { ...first!, name: '', input: ['y'], output: ['z'] },
        { ...first!, input: ['z'], output: ['w'] },
      );
    });
    const names = readOnnx(bytes, 'unnamed').nodes.map((node) => node.name);
    expect(names).toEqual(['n', 'z', 'n_2']);
  });

  test('takes an input that is also an initializer for an initializer', () => {
    const base = identityGraph([['w', { dtype: 'float32', dims: [1], data: Float32Array.of(1) }]]);
    const bytes = writeOnnx({
      ...base,
      inputs: [...base.inputs, { name: 'w', dtype: 'float32', dims: [1] }],
    });
    expect(readOnnx(bytes, 'old').inputs.map(({ name }) => name)).toEqual(['x']);
  });

  test('finds external data beside the model, and says so when it has only the bytes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'onnx-'));
    try {
      const external = (location: string) =>
        edited(
          (model) => {
            const [init] = model.graph?.initializer ?? [];
            Object.assign(init!, {
              rawData: new Uint8Array(),
              dataLocation: 1,
              externalData: [
                { key: 'location', value: location },
                { key: 'offset', value: '4' },
              ].map((entry) => create(StringStringEntryProtoSchema, entry)),
            });
          },
          identityGraph([['w', { dtype: 'float32', dims: [2], data: Float32Array.of(0, 0) }]]),
        );
      writeFileSync(join(folder, 'weights.bin'), new Uint8Array(Float32Array.of(9, 1, 2).buffer));
      writeFileSync(join(folder, 'm.onnx'), external('weights.bin'));
      writeFileSync(join(folder, 'out.onnx'), external('../weights.bin'));
      writeFileSync(join(folder, 'gone.onnx'), external('gone.bin'));
      expect(readOnnxFile(join(folder, 'm.onnx')).initializers.get('w')?.data).toEqual(Float32Array.of(1, 2));
      expect(failure(() => readOnnx(external('weights.bin'), 'm')).message).toContain('weights.bin');
      expect(failure(() => readOnnxFile(join(folder, 'out.onnx'))).message).toContain(
        'outside its own folder',
      );
      expect(failure(() => readOnnxFile(join(folder, 'gone.onnx'))).message).toContain('gone.bin');
      expect(failure(() => readOnnxFile(join(folder, 'none.onnx'))).code).toBe('bad-model');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('refusing', () => {
  test('a file cut short anywhere', () => {
    const whole = readFileSync(DIGITS);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: whole.length - 1 }), (length) => {
        expect(failure(() => readOnnx(whole.subarray(0, length), 'cut.onnx')).code).toBe('bad-model');
      }),
      { numRuns: 200 },
    );
  });

  test('bytes that are no model', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(failure(() => readOnnx(bytes, 'noise')).code).toBe('bad-model');
      }),
    );
    const pointer = new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:0');
    expect(failure(() => readOnnx(pointer, 'digits.onnx')).message).toContain('Git LFS pointer');
  });

  const cases: [string, (model: ModelProto) => void, SppError['code'], string][] = [
    [
      'a graph without nodes',
      (m) => {
        m.graph!.node = [];
      },
      'bad-model',
      'no nodes',
    ],
    [
      'a graph without outputs',
      (m) => {
        m.graph!.output = [];
      },
      'bad-model',
      'no outputs',
    ],
    [
      'a model without opset',
      (m) => {
        m.opsetImport = [];
      },
      'bad-model',
      'no opset',
    ],
    [
      'an opset too old',
      (m) => {
        m.opsetImport[0]!.version = 6n;
      },
      'bad-model',
      'opset 6',
    ],
    [
      'an input that nothing makes',
      (m) => {
        m.graph!.node[0]!.input = ['ghost'];
      },
      'bad-model',
      'reads ghost, which nothing makes',
    ],
    [
      'an output that no node makes',
      (m) => {
        m.graph!.node[0]!.output = ['z'];
      },
      'bad-model',
      'output y is made by no node',
    ],
    [
      'nodes out of order',
      (m) => void m.graph!.node.unshift({ ...m.graph!.node[0]!, name: 'early', input: ['y'], output: ['z'] }),
      'bad-model',
      'node early (Identity) reads y before it is made',
    ],
    [
      'a value made twice',
      (m) => void m.graph!.node.push({ ...m.graph!.node[0]! }),
      'bad-model',
      'y is defined twice',
    ],
    [
      'an input without a shape',
      (m) => void delete (m.graph!.input[0]!.type!.value.value as { shape?: unknown }).shape,
      'bad-model',
      'the value x',
    ],
    [
      'an element type we lack',
      (m) => {
        (m.graph!.input[0]!.type!.value.value as { elemType: number }).elemType = 8;
      },
      'bad-model',
      'STRING',
    ],
    [
      'a quantised operator',
      (m) => {
        m.graph!.node[0]!.opType = 'DynamicQuantizeLinear';
      },
      'bad-model',
      'quantised',
    ],
    [
      'a quantised operator, whose weights have a type we lack',
      (m) => {
        m.graph!.node[0]!.opType = 'MatMulInteger';
        m.graph!.initializer.push(create(TensorProtoSchema, { name: 'zero', dims: [1n], dataType: 3 }));
      },
      'bad-model',
      'the model is quantised',
    ],
    [
      'an unknown domain',
      (m) => {
        m.graph!.node[0]!.domain = 'com.example';
      },
      'bad-model',
      'com.example',
    ],
    [
      'a subgraph',
      (m) => void m.graph!.node[0]!.attribute.push(create(AttributeProtoSchema, { name: 'body', type: 5 })),
      'unsupported-op',
      'node n (Identity) runs a subgraph',
    ],
  ];
  test.each(cases)('%s', (_name, edit, code, message) => {
    const error = failure(() => readOnnx(edited(edit), 'model.onnx'));
    expect(error.message).toContain(message);
    expect(error.code).toBe(code);
    expect(error.hint).toBeTruthy();
  });

  test('data that do not fill their shape', () => {
    const bytes = edited(
      (model) => {
        model.graph!.initializer[0]!.dims = [3n];
      },
      identityGraph([['w', { dtype: 'float32', dims: [2], data: Float32Array.of(0, 0) }]]),
    );
    expect(failure(() => readOnnx(bytes, 'm')).message).toContain('w needs 12 bytes of data but has 8');
  });
});
