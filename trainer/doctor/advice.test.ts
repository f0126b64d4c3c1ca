import { expect, test } from 'vitest';
import type { BackendName } from '../engine/backend-names.ts';
import { adviceFor, type Findings } from './advice.ts';

const bare: Findings = {
  machine: { cores: 8, cudaDevices: [], vulkan: { renderNodes: [], drivers: [] } },
  installed: ['onnxruntime', 'wasm', 'cpu'],
  automatic: 'onnxruntime',
  measured: [],
};
const timed = (backend: BackendName, stepMs: number) => ({
  backend,
  measurement: { workers: 1, threads: 1, steps: 3, stepMs, peakBytes: 1, layouts: [] },
});

test('has nothing to say where auto is the fastest', () => {
  expect(adviceFor({ ...bare, measured: [timed('onnxruntime', 10), timed('wasm', 90)] })).toEqual([]);
});

test('names a backend that is clearly faster than auto, and none that is as fast', () => {
  const with_ = (stepMs: number) => [timed('onnxruntime', 100), timed('tfjs-node', stepMs)];
  expect(adviceFor({ ...bare, measured: with_(40) })).toEqual([
    expect.stringContaining('--backend tfjs-node'),
  ]);
  expect(adviceFor({ ...bare, measured: with_(97) })).toEqual([]);
});

test('says what to install for a GPU that nothing installed can use', () => {
  const nvidia = { ...bare.machine, cudaDevices: ['NVIDIA L4, 23034 MiB'] };
  const cuda = adviceFor({ ...bare, machine: nvidia });
  expect(cuda[0]).toMatch(/NVIDIA.*ONNXRUNTIME_NODE_INSTALL=cuda12/);
  expect(cuda[1]).toContain('npm install --no-save --save-prod @tensorflow/tfjs-node-gpu');
  const other = { ...bare.machine, vulkan: { renderNodes: ['renderD128'], drivers: [] } };
  expect(adviceFor({ ...bare, machine: other })).toEqual([
    expect.stringContaining('npm install --no-save --save-prod webgpu @tensorflow/tfjs-backend-webgpu'),
  ]);
});

test('repeats why a backend failed', () => {
  const measured = [{ backend: 'onnxruntime-webgpu', failure: 'no adapter' }] as const;
  expect(adviceFor({ ...bare, measured })).toEqual(['onnxruntime-webgpu does not work here: no adapter']);
});
