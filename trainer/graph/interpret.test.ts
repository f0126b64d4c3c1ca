import { existsSync, readdirSync, readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SppError } from '../../schema/errors.ts';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { startBackend } from '../engine/backend.ts';
import type { Graph, Tensor } from './graph.ts';
import { createInterpreter } from './interpret.ts';
import { readOnnx } from './onnx-file.ts';
import { relativeError } from './relative-error.ts';
import { toTensor } from './value.ts';

const DIGITS = new URL('../../examples/digits/digits.onnx', import.meta.url);
const MODELS = new URL('../../../shared/models/', import.meta.url);
const present = existsSync(MODELS);

let tensors = 0;
beforeAll(async () => {
  await startBackend('wasm');
});
beforeEach(() => {
  tensors = tf.memory().numTensors;
});
afterEach(() => {
  expect(tf.memory().numTensors, 'tensors left behind').toBe(tensors);
});

function load(url: URL): { graph: Graph; bytes: Uint8Array } {
  const bytes = readFileSync(url);
  return { graph: readOnnx(bytes, url.pathname), bytes };
}

function wave(dims: number[]): Tensor {
  const count = dims.reduce((a, b) => a * b, 1);
  return { dtype: 'float32', dims, data: Float32Array.from({ length: count }, (_, i) => Math.sin(i * 0.37)) };
}

function run(graph: Graph, feeds: Record<string, Tensor>, outputs?: string[]): Tensor[] {
  const interpreter = createInterpreter(graph, outputs ? { outputs } : {});
  try {
    let made: Tensor[] = [];
    tf.tidy(() => {
      made = interpreter.run(feeds).map(toTensor);
    });
    return made;
  } finally {
    interpreter.dispose();
  }
}

async function expectParity(url: URL, feeds: Record<string, Tensor>): Promise<void> {
  const { graph, bytes } = load(url);
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3 });
  const expected = await session.run(
    Object.fromEntries(
      graph.inputs.map(({ name }) => {
        const { dtype, data, dims } = feeds[name] as Tensor;
        return [name, new OrtTensor(dtype as 'float32', data as Float32Array, [...dims])];
      }),
    ),
  );
  await session.release();
  run(graph, feeds).forEach((actual, i) => {
    const name = (graph.outputs[i] as Graph['outputs'][number]).name;
    const { data, dims } = expected[name] as OrtTensor;
    expect(actual.dims).toEqual(dims);
    const error = relativeError(actual.data, data as Float32Array);
    expect(error.relative, `${name}: ${JSON.stringify(error)}`).toBeLessThan(1e-4);
  });
}

describe('runs as onnxruntime does', () => {
  test.each([1, 5])('the digits model, batch %i', async (batch) => {
    await expectParity(DIGITS, { pixel_values: wave([batch, 1, 28, 28]) });
  });

  const files = present
    ? readdirSync(new URL('graphs/', MODELS)).filter((file) => file.endsWith('.onnx'))
    : [];
  test.skipIf(!present).each(files)(
    'exported by torch: %s (skipped where ../shared/models is absent)',
    async (file) => {
      const io = JSON.parse(
        readFileSync(new URL(`graphs/${file.replace(/\.(dynamo|ts)\.onnx$/, '.io.json')}`, MODELS), 'utf8'),
      ) as { inputs: Record<string, { shape: number[]; datatype: string; data: number[] }> };
      const feeds = Object.entries(io.inputs).map(([name, { shape, datatype, data }]): [string, Tensor] => [
        name,
        datatype === 'FP32'
          ? { dtype: 'float32', dims: shape, data: Float32Array.from(data) }
          : { dtype: 'int64', dims: shape, data: BigInt64Array.from(data, BigInt) },
      ]);
      await expectParity(new URL(`graphs/${file}`, MODELS), Object.fromEntries(feeds));
    },
  );
});

describe('refuses', () => {
  const graph: Graph = {
    name: 'g',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 2] }],
    outputs: [{ name: 'y', dtype: 'float32', dims: ['n', 2] }],
    initializers: new Map(),
    nodes: [
      { name: 'first', opType: 'Bogus', domain: '', inputs: ['x'], outputs: ['a'], attributes: {} },
      { name: 'second', opType: 'Relu', domain: '', inputs: ['a'], outputs: ['b'], attributes: {} },
      { name: 'third', opType: 'Bogus', domain: '', inputs: ['b'], outputs: ['c'], attributes: {} },
      {
        name: 'fourth',
        opType: 'Pad',
        domain: '',
        inputs: ['c'],
        outputs: ['y'],
        attributes: { mode: { kind: 'string', value: 'mirror' } },
      },
    ],
  };
  const one = (opType: string): Graph => ({
    ...graph,
    nodes: [{ name: 'only', opType, domain: '', inputs: ['x'], outputs: ['y'], attributes: {} }],
  });
  const failure = (act: () => unknown): SppError => {
    try {
      act();
    } catch (error) {
      if (error instanceof SppError) return error;
      throw error;
    }
    throw new Error('nothing was thrown');
  };

  test('unknown operators and attributes, all at once, with their nodes and opset', () => {
    const { code, message } = failure(() => createInterpreter(graph));
    expect(code).toBe('unsupported-op');
    expect(message).toContain('Bogus (opset 17) at first, third');
    expect(message).toContain("Pad with the padding mode 'mirror' at fourth");
  });

  test('feeds that are missing, of another shape or of another type', () => {
    const relu = one('Relu');
    expect(failure(() => run(relu, {})).message).toContain('The input x is not fed');
    expect(failure(() => run(relu, { x: wave([3, 3]) })).code).toBe('bad-shape');
    const integers: Tensor = { dtype: 'int64', dims: [1, 2], data: BigInt64Array.of(1n, 2n) };
    expect(failure(() => run(relu, { x: integers })).code).toBe('bad-datatype');
  });

  test('a node that cannot work on its inputs, by its name', () => {
    const sum: Graph = {
      ...one('Add'),
      initializers: new Map([['w', wave([3])]]),
      nodes: [
        { name: 'only', opType: 'Add', domain: '', inputs: ['x', 'w'], outputs: ['y'], attributes: {} },
      ],
    };
    const { message } = failure(() => run(sum, { x: wave([1, 2]) }));
    expect(message).toContain('Node only (Add) failed on inputs of shape [1,2], [3]');
  });

  test('an output that the graph does not have', () => {
    expect(failure(() => createInterpreter(one('Relu'), { outputs: ['z'] })).message).toContain('no value z');
  });
});

test('computes any inner value that is asked for', () => {
  const { graph } = load(DIGITS);
  const [gelu] = run(graph, { pixel_values: wave([2, 1, 28, 28]) }, ['gelu']);
  expect(gelu?.dims).toEqual([2, 50, 256]);
});

test('refuses a gradient that would be lost, and names the node', () => {
  const b = new GraphBuilder();
  const [x, bound] = [
    b.input('x', ['n']),
    b.constant({ dtype: 'float32', dims: [1], data: Float32Array.of(0.5) }),
  ];
  const clipped = b.op('Clip', [x, b.op('Squeeze', [bound, b.ints(0)])]);
  const interpreter = createInterpreter(b.build({ y: [clipped, ['n']] }), { variables: [bound] });
  expect(() => tf.tidy(() => void interpreter.run({ x: wave([3]) }, [], [tf.tensor1d([0.5])]))).toThrow(
    expect.objectContaining({
      code: 'unsupported-op',
      message: expect.stringMatching(/Node Clip_\d+ \(Clip\) has no gradient by its input 1/),
      hint: expect.stringContaining('onnxruntime'),
    }),
  );
  interpreter.dispose();
});
