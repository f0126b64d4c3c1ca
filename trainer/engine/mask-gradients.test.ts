import { existsSync, readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Graph, Tensor } from '../graph/graph.ts';
import { createInterpreter } from '../graph/interpret.ts';
import type { MaskedAxis } from '../graph/mask-site.ts';
import { readOnnx } from '../graph/onnx-file.ts';
import { relativeError } from '../graph/relative-error.ts';
import { toTensor } from '../graph/value.ts';
import { startBackend } from './backend.ts';
import { createTfjsProgram } from './tfjs-program.ts';

const DIGITS = new URL('../../examples/digits/digits.onnx', import.meta.url);
const GRAPHS = new URL('../../../shared/models/graphs/', import.meta.url);
const present = existsSync(GRAPHS);

const numbered = (name: string, index: number) => (index === 0 ? name : `${name}_${index}`);
const site = (tensor: string, axis: number, outer = 1): MaskedAxis => ({ tensor, axis, outer, inner: 1 });

/** Mask sites of a timm ViT as torch's dynamo exporter names its values. */
function vitSites(layers: number): MaskedAxis[][] {
  return Array.from({ length: layers }, (_, layer) => [
    [site(numbered('getitem', 3 * layer), 3)],
    [site(numbered('getitem', 3 * layer + 2), 3)],
    [site(numbered('gelu', layer), 2)],
  ]).flat();
}

/** LLaMA: the query before its rotation (j and j + 6 coupled), the mixed values, the input of the down projection. */
const llamaSites = [
  [site('transpose', 3, 2)],
  [site('scaled_dot_product_attention', 3)],
  [site('mul_98', 2)],
  [site('transpose_4', 3, 2)],
  [site('scaled_dot_product_attention_1', 3)],
  [site('mul_194', 2)],
];

interface Fixture {
  readonly loss: number;
  readonly mask: Record<string, number[]>;
  readonly grad: Record<string, number[]>;
}

function loadFixture(model: string): {
  graph: Graph;
  feeds: Record<string, Tensor>;
  points: Record<string, Fixture>;
} {
  const text = (name: string) => readFileSync(new URL(name, GRAPHS), 'utf8');
  const io = JSON.parse(text(`${model}.io.json`)) as {
    inputs: Record<string, { shape: number[]; datatype: string; data: number[] }>;
  };
  const feeds = Object.entries(io.inputs).map(([name, { shape, datatype, data }]): [string, Tensor] => [
    name,
    datatype === 'FP32'
      ? { dtype: 'float32', dims: shape, data: Float32Array.from(data) }
      : { dtype: 'int64', dims: shape, data: BigInt64Array.from(data, BigInt) },
  ]);
  return {
    graph: readOnnx(readFileSync(new URL(`${model}.dynamo.onnx`, GRAPHS)), model),
    feeds: Object.fromEntries(feeds),
    points: JSON.parse(text(`${model}.masks.json`)) as Record<string, Fixture>,
  };
}

beforeAll(async () => {
  await startBackend('wasm');
});

describe.skipIf(!present)('mask gradients of PyTorch (skipped where ../shared/models is absent)', () => {
  test.each(['ones', 'mixed'])('DeiT at %s', async (at) => {
    const { graph, feeds, points } = loadFixture('deit_timm');
    const program = createTfjsProgram(graph, { sites: vitSites(2) });
    await expectFixture(points[at] as Fixture, (masks) => {
      const loss = { kind: 'cross-entropy', output: 'logits', labels: Int32Array.of(3, 7) } as const;
      return program.run({ feeds, loss }, masks);
    });
    program.dispose();
  });

  test.each(['ones', 'mixed'])('LLaMA at %s', async (at) => {
    const { graph, feeds, points } = loadFixture('llama_hf');
    const program = createTfjsProgram(graph, { sites: llamaSites });
    const ids = (feeds.input_ids as Tensor).data as BigInt64Array;
    const [, length] = (feeds.input_ids as Tensor).dims as [number, number];
    const labels = Int32Array.from(ids, (_, i) => ((i + 1) % length === 0 ? -1 : Number(ids[i + 1])));
    await expectFixture(points[at] as Fixture, (masks) =>
      program.run({ feeds, loss: { kind: 'cross-entropy', output: 'logits', labels } }, masks),
    );
    program.dispose();
  });

  async function expectFixture(
    point: Fixture,
    run: (masks: Float32Array[]) => ReturnType<ReturnType<typeof createTfjsProgram>['run']>,
  ) {
    const names = Object.keys(point.mask);
    const { loss, rows, gradients } = await run(
      names.map((name) => Float32Array.from(point.mask[name] as number[])),
    );
    expect(Math.abs(loss / rows - point.loss) / point.loss).toBeLessThan(1e-4);
    names.forEach((name, i) => {
      const error = relativeError(
        (gradients[i] as Float32Array).map((g) => g / rows),
        point.grad[name] as number[],
      );
      expect(error.relative, `${name}: ${JSON.stringify(error)}`).toBeLessThan(1e-3);
    });
  }
});

describe('the digits model', () => {
  const sites = vitSites(4);
  const units = [16, 16, 256, 16, 16, 256, 16, 16, 256, 16, 16, 256];
  const feeds = { pixel_values: waves([4, 1, 28, 28], 0.37) };
  const shard = { feeds, loss: { kind: 'kl', output: 'logits', teacher: waves([4, 10], 1.7, 3) } } as const;
  const masks = units.map((count) =>
    Float32Array.from({ length: count }, (_, j) => 1 - 0.6 * Math.sin(j * 1.7) ** 2),
  );

  function waves(dims: number[], pace: number, scale = 1): Tensor {
    const length = dims.reduce((a, b) => a * b, 1);
    return {
      dtype: 'float32',
      dims,
      data: Float32Array.from({ length }, (_, i) => scale * Math.sin(i * pace)),
    };
  }

  test('has gradients that agree with central differences', async () => {
    const program = createTfjsProgram(readOnnx(readFileSync(DIGITS), 'digits.onnx'), { sites });
    const { gradients } = await program.run(shard, masks);
    const step = 2 ** -5;
    const checked = masks.flatMap((mask, pair) => [0, mask.length - 3].map((unit) => ({ pair, unit })));
    const numeric: number[] = [];
    for (const { pair, unit } of checked) {
      const moved = async (by: number) => {
        const changed = masks.map((mask, p) =>
          p === pair ? mask.map((m, u) => (u === unit ? m + by : m)) : mask,
        );
        return (await program.run(shard, changed)).loss;
      };
      numeric.push(((await moved(step)) - (await moved(-step))) / (2 * step));
    }
    program.dispose();
    const analytic = checked.map(({ pair, unit }) => (gradients[pair] as Float32Array)[unit] as number);
    const error = relativeError(analytic, numeric);
    // float32 losses and the differences' own curvature leave three digits.
    expect(error.relative, JSON.stringify(error)).toBeLessThan(5e-3);
  });

  test('has no gradient where the masked model is its own teacher', async () => {
    const graph = readOnnx(readFileSync(DIGITS), 'digits.onnx');
    const program = createTfjsProgram(graph, { sites });
    const ones = units.map((count) => new Float32Array(count).fill(1));
    const interpreter = createInterpreter(graph);
    let teacher: Tensor | undefined;
    tf.tidy(() => {
      teacher = toTensor(interpreter.run(feeds)[0] as tf.Tensor);
    });
    const result = await program.run(
      { feeds, loss: { kind: 'kl', output: 'logits', teacher: teacher as Tensor } },
      ones,
    );
    expect(Math.abs(result.loss)).toBeLessThan(1e-5);
    for (const gradient of result.gradients) expect(Math.max(...gradient.map(Math.abs))).toBeLessThan(1e-4);
    interpreter.dispose();
    program.dispose();
  });

  test('keeps the number of tensors level over steps', async () => {
    const before = tf.memory().numTensors;
    const program = createTfjsProgram(readOnnx(readFileSync(DIGITS), 'digits.onnx'), { sites });
    await program.run(shard, masks);
    const { numTensors, numBytes } = tf.memory();
    for (let i = 0; i < 4; i++) await program.run(shard, masks);
    expect(tf.memory().numTensors).toBe(numTensors);
    expect(tf.memory().numBytes).toBe(numBytes);
    program.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test('refuses a mask that does not cover its axis', async () => {
    const program = createTfjsProgram(readOnnx(readFileSync(DIGITS), 'digits.onnx'), { sites });
    const short = masks.map((mask, pair) => (pair === 2 ? mask.subarray(1) : mask));
    await expect(program.run(shard, short)).rejects.toThrow('The mask on gelu covers 1 x 255 x 1 elements');
    program.dispose();
  });
});
