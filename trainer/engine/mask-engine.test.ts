import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Graph, Tensor } from '../graph/graph.ts';
import { readOnnx, writeOnnx } from '../graph/onnx-file.ts';
import { relativeError } from '../graph/relative-error.ts';
import { startBackend } from './backend.ts';
import { type backendNames, candidateBackends, isInstalled } from './backend-names.ts';
import { createEngine } from './create-engine.ts';
import type { LossTarget } from './loss.ts';
import { createMaskEngine, type MaskEngine, type MaskStep } from './mask-engine.ts';
import { startTfjsLane } from './tfjs-lanes.ts';

const graph = readOnnx(
  readFileSync(new URL('../../examples/digits/digits.onnx', import.meta.url)),
  'digits.onnx',
);
const pairs = [
  { name: 'values', units: 16, maskSites: [{ tensor: 'getitem_2', axis: 3, outer: 1, inner: 1 }] },
  { name: 'mlp', units: 256, maskSites: [{ tensor: 'gelu_3', axis: 2, outer: 1, inner: 1 }] },
];

function waves(dims: number[], pace: number): Tensor {
  const length = dims.reduce((a, b) => a * b, 1);
  return { dtype: 'float32', dims, data: Float32Array.from({ length }, (_, i) => Math.sin(i * pace)) };
}

const step: MaskStep = {
  feeds: { pixel_values: waves([7, 1, 28, 28], 0.37) },
  masks: pairs.map(({ units }) => Float32Array.from({ length: units }, (_, j) => 1 - 0.3 * Math.sin(j) ** 2)),
  loss: { kind: 'kl', output: 'logits', teacher: waves([7, 10], 1.3) },
};

describe.each(['wasm', 'onnxruntime'] as const)('an engine of two workers on %s', (backend) => {
  let engine: MaskEngine;
  beforeAll(async () => {
    engine = await createMaskEngine({ graph, pairs, backend, workers: 2 });
  });
  afterAll(async () => {
    await engine.close();
  });

  test('says what it runs on', () => {
    expect([engine.backend, engine.workers]).toEqual([backend, 2]);
  });

  test('gives the same numbers again, bit for bit', async () => {
    const [first, second] = [await engine.step(step), await engine.step(step)];
    expect(second).toEqual(first);
  });

  test('agrees with one worker, with small micro-batches, and with the cpu backend', async () => {
    const expected = await engine.step(step);
    for (const options of [
      { backend, workers: 1 },
      { backend, workers: 1, microBatch: 2 },
      { backend: 'cpu', workers: 2 },
    ] as const) {
      const other = await createMaskEngine({ graph, pairs, ...options });
      const result = await other.step(step);
      await other.close();
      expect(Math.abs(result.loss - expected.loss) / expected.loss).toBeLessThan(1e-5);
      result.gradients.forEach((gradient, pair) => {
        expect(relativeError(gradient, expected.gradients[pair] as Float32Array).relative).toBeLessThan(1e-4);
      });
    }
  });

  test('answers steps asked for at once one after the other', async () => {
    const alone = await engine.step(step);
    const together = await Promise.all([engine.step(step), engine.step(step)]);
    expect(together).toEqual([alone, alone]);
  });

  test('hands back a loss that is not a number', async () => {
    const broken = waves([7, 1, 28, 28], 0.37);
    (broken.data as Float32Array)[5] = Number.NaN;
    const { loss } = await engine.step({ ...step, feeds: { pixel_values: broken } });
    expect(loss).toBeNaN();
  });

  test('takes cross-entropy with labels, leaves out rows of -1, refuses labels that no class has', async () => {
    const labels = (...values: number[]): LossTarget => ({
      kind: 'cross-entropy',
      output: 'logits',
      labels: Int32Array.from(values),
    });
    const { loss, gradients } = await engine.step({ ...step, loss: labels(3, 1, -1, 9, 0, -1, 5) });
    const other = await createMaskEngine({ graph, pairs, backend: 'cpu', workers: 1 });
    const expected = await other.step({ ...step, loss: labels(3, 1, -1, 9, 0, -1, 5) });
    await other.close();
    expect(Math.abs(loss - expected.loss) / expected.loss).toBeLessThan(1e-5);
    for (const [pair, gradient] of gradients.entries())
      expect(relativeError(gradient, expected.gradients[pair] ?? []).relative).toBeLessThan(1e-4);
    await expect(engine.step({ ...step, loss: labels(3, 1, 1, 10, 0, 0, 5) })).rejects.toMatchObject({
      code: 'bad-data',
    });
  });

  test('refuses masks and feeds that do not fit, and goes on', async () => {
    await expect(engine.step({ ...step, masks: step.masks.slice(1) })).rejects.toMatchObject({
      code: 'bad-shape',
    });
    const feeds = { pixel_values: waves([7, 1, 28, 27], 0.37) };
    await expect(engine.step({ ...step, feeds })).rejects.toMatchObject({
      code: 'bad-shape',
      message: expect.stringContaining('pixel_values'),
    });
    const teacher = waves([6, 10], 1.3);
    await expect(
      engine.step({ ...step, loss: { ...step.loss, teacher } as LossTarget }),
    ).rejects.toMatchObject({ code: 'bad-shape' });
    expect((await engine.step(step)).loss).toBeGreaterThan(0);
  });
});

test('a graph that cannot run is refused when the engine is made, with the reason', async () => {
  const broken = {
    ...graph,
    nodes: graph.nodes.map((n) => (n.opType === 'Gelu' ? { ...n, opType: 'Bogus' } : n)),
  };
  await expect(createMaskEngine({ graph: broken, pairs, backend: 'wasm', workers: 1 })).rejects.toMatchObject(
    { code: 'unsupported-op', message: expect.stringContaining('Bogus') },
  );
});

test('a worker that dies fails what it was asked, and says so', async () => {
  const thread = await startTfjsLane({
    backend: 'wasm',
    model: writeOnnx(graph),
    program: { sites: pairs.map((pair) => pair.maskSites) },
    weights: { values: [], gradients: [] },
  });
  const answer = thread.ask({
    shards: [step],
    variants: [{ masks: step.masks, widths: [] }],
    recompute: false,
  });
  const outcome = expect(answer).rejects.toMatchObject({
    code: 'internal',
    message: expect.stringContaining('died'),
  });
  await thread.close();
  await outcome;
  await expect(
    thread.ask({ shards: [step], variants: [{ masks: step.masks, widths: [] }], recompute: false }),
  ).rejects.toMatchObject({
    code: 'internal',
  });
});

describe('backends', () => {
  const missing = (['tfjs-node-gpu', 'tfjs-node'] as const).find((name) => !isInstalled(name));

  test.skipIf(missing === undefined)(
    'one that is not installed is refused with the way out (skipped where all are installed)',
    () => {
      expect(() => candidateBackends(missing as (typeof backendNames)[number])).toThrow(
        expect.objectContaining({
          code: 'backend-unavailable',
          hint: expect.stringContaining('npm install'),
        }),
      );
    },
  );

  test('auto tries what is installed in order, tfjs only its own', () => {
    const auto = candidateBackends('auto');
    const always = ['onnxruntime', 'wasm', 'cpu'] as const;
    expect(auto.filter((name) => (always as readonly string[]).includes(name))).toEqual(always);
    expect(auto.every(isInstalled)).toBe(true);
    // GPUs by onnxruntime run when they are named.
    expect(auto.filter((name) => /^onnxruntime-/.test(name))).toEqual([]);
    expect(candidateBackends('tfjs')).toEqual(auto.filter((name) => name !== 'onnxruntime'));
  });

  test('auto goes on where onnxruntime has no gradient, and says so; a named one does not', async () => {
    const tensor = { dtype: 'float32', dims: [2], data: Float32Array.of(0.5, 0.25) } as const;
    const bent: Graph = {
      name: 'bent',
      irVersion: 8,
      opsets: { '': 17 },
      inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 2] }],
      outputs: [{ name: 'y', dtype: 'float32', dims: ['n', 2] }],
      initializers: new Map([['w', tensor]]),
      nodes: ['Mul', 'Max'].map((opType, i) => ({
        name: opType,
        opType,
        domain: '',
        inputs: i === 0 ? ['x', 'w'] : ['h', 'x', 'w'],
        outputs: [i === 0 ? 'h' : 'y'],
        attributes: {},
      })),
    };
    const options = { graph: bent, weights: ['w'], workers: 1 };
    const named = createEngine({ ...options, backend: 'onnxruntime' });
    await expect(named).rejects.toMatchObject({
      code: 'unsupported-op',
      message: expect.stringContaining('node Max'),
      hint: expect.stringContaining('TensorFlow.js has it'),
    });
    const engine = await createEngine({ ...options, backend: 'auto' });
    await engine.close();
    expect(engine.backend).not.toBe('onnxruntime');
    expect(engine.passedOver).toContainEqual({
      backend: 'onnxruntime',
      reason: expect.stringContaining('Max with 3 inputs'),
    });
  });

  test('a named one runs, and no other', async () => {
    expect(await startBackend('cpu')).toBe('cpu');
    expect(tf.getBackend()).toBe('cpu');
    expect(await startBackend('wasm')).toBe('wasm');
    expect(tf.getBackend()).toBe('wasm');
  });
});
