import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { isInstalled } from '../engine/backend-names.ts';
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

test.skipIf(isInstalled('tfjs-node-gpu'))(
  'says why a backend does not run (skipped where tfjs-node-gpu is installed)',
  async () => {
    const { measurement, failure } = await measureBackend('tfjs-node-gpu', DIGITS, 0.2);
    expect(measurement).toBeUndefined();
    expect(failure).toContain('tfjs-node-gpu is not installed');
  },
);
