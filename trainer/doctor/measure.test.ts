import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { isInstalled } from '../engine/backend-names.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { measureBackend } from './measure.ts';

const DIGITS = fileURLToPath(new URL('../../examples/digits/digits.onnx', import.meta.url));

test('times a step in a process of its own', async () => {
  const { measurement, failure } = await measureBackend('onnxruntime', DIGITS, 0.2);
  expect(failure).toBeUndefined();
  expect(measurement?.steps).toBeGreaterThanOrEqual(1);
  expect(measurement?.stepMs).toBeGreaterThan(0);
  const [fewest] = (measurement?.layouts ?? []).toSorted((a, b) => a.stepMs - b.stepMs);
  expect(fewest?.stepMs).toBeGreaterThan(0);
  expect(measurement?.layouts.map(({ layout }) => layout.workers)).toContain(measurement?.workers);
  expect(measurement?.peakBytes).toBeGreaterThan(2 ** 25);
});

test('times steps whose loss is not a number: random inputs may well be outside of what a model takes', async () => {
  const b = new GraphBuilder();
  const hidden = b.op('Relu', [b.linear(b.input('x', ['n', 8]), b.weight(8, 16))]);
  const graph = b.build({ y: [b.op('Sqrt', [b.linear(hidden, b.weight(16, 4))]), ['n', 4]] });
  const folder = mkdtempSync(join(tmpdir(), 'doctor-'));
  try {
    const path = join(folder, 'roots.onnx');
    writeFileSync(path, writeOnnx(graph));
    const { measurement, failure } = await measureBackend('onnxruntime', path, 0.1);
    expect(failure).toBeUndefined();
    expect(measurement?.stepMs).toBeGreaterThan(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.skipIf(isInstalled('tfjs-node-gpu'))(
  'says why a backend does not run (skipped where tfjs-node-gpu is installed)',
  async () => {
    const { measurement, failure } = await measureBackend('tfjs-node-gpu', DIGITS, 0.2);
    expect(measurement).toBeUndefined();
    expect(failure).toContain('tfjs-node-gpu is not installed');
  },
);
