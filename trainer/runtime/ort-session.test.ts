import { expect, test } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { createOrtSession } from './ort-session.ts';

const doubled: Graph = {
  name: 'doubled',
  irVersion: 8,
  opsets: { '': 17 },
  inputs: [
    { name: 'x', dtype: 'float32', dims: ['n'] },
    { name: 'i', dtype: 'int64', dims: ['n'] },
  ],
  outputs: [
    { name: 'y', dtype: 'float32', dims: ['n'] },
    { name: 'j', dtype: 'int64', dims: ['n'] },
  ],
  initializers: new Map(),
  nodes: [
    { name: 'add', opType: 'Add', domain: '', inputs: ['x', 'x'], outputs: ['y'], attributes: {} },
    { name: 'sum', opType: 'Add', domain: '', inputs: ['i', 'i'], outputs: ['j'], attributes: {} },
  ],
};
const x = { dtype: 'float32', dims: [2], data: Float32Array.of(1.5, -2) } as const;
const i = { dtype: 'int64', dims: [2], data: BigInt64Array.of(3n, 2n ** 40n) } as const;

test('carries tensors in and out, 64-bit integers whole', async () => {
  const session = await createOrtSession(writeOnnx(doubled));
  expect(await session.run({ x, i })).toEqual({
    y: { dtype: 'float32', dims: [2], data: Float32Array.of(3, -4) },
    j: { dtype: 'int64', dims: [2], data: BigInt64Array.of(6n, 2n ** 41n) },
  });
  expect(Object.keys(await session.run({ x, i }, ['j']))).toEqual(['j']);
  await session.close();
});

test('a refused model and refused feeds are bad-model errors', async () => {
  await expect(createOrtSession(Uint8Array.of(1, 2, 3))).rejects.toMatchObject({ code: 'bad-model' });
  const session = await createOrtSession(writeOnnx(doubled));
  await expect(session.run({ x: i, i })).rejects.toMatchObject({ code: 'bad-model' });
  await session.close();
});

test('writes results to given memory and keeps no other copy of them', async () => {
  const length = 2 ** 20;
  const session = await createOrtSession(writeOnnx(doubled));
  const fed = { x: { dtype: 'float32', dims: [length], data: new Float32Array(length).fill(3) }, i } as const;
  const y = { dtype: 'float32', dims: [length], data: new Float32Array(length) } as const;
  const before = process.memoryUsage().arrayBuffers;
  for (let run = 0; run < 8; run++) {
    const results = await session.run(fed, ['y'], { y });
    expect(results.y?.data).toBe(y.data);
  }
  expect(y.data.every((value) => value === 6)).toBe(true);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(y.data.byteLength);
  await session.close();
});
