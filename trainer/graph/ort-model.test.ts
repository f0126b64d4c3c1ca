import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createOrtSession, type OrtModel } from '../runtime/ort-session.ts';
import type { Graph, Tensor } from './graph.ts';
import { discardModel, ortModel } from './ort-model.ts';

const SIDE = 64;
const matrix = (scale: number): Tensor => ({
  dtype: 'float32',
  dims: [SIDE, SIDE],
  data: Float32Array.from({ length: SIDE * SIDE }, (_, i) => scale * Math.sin(i)),
});

/** y = x A B, or y = x A B C. */
function chain(...weights: readonly Tensor[]): Graph {
  const names = weights.map((_, i) => `w${i}`);
  return {
    name: 'chain',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'x', dtype: 'float32', dims: [1, SIDE] }],
    outputs: [{ name: 'y', dtype: 'float32', dims: [1, SIDE] }],
    initializers: new Map(names.map((name, i) => [name, weights[i] as Tensor])),
    nodes: names.map((name, i) => ({
      name,
      opType: 'MatMul',
      domain: '',
      inputs: [i === 0 ? 'x' : `h${i}`, name],
      outputs: [i === names.length - 1 ? 'y' : `h${i + 1}`],
      attributes: {},
    })),
  };
}

async function answer(model: OrtModel): Promise<number[]> {
  const session = await createOrtSession(model);
  const x: Tensor = { dtype: 'float32', dims: [1, SIDE], data: new Float32Array(SIDE).fill(0.1) };
  const { y } = await session.run({ x });
  await session.close();
  return Array.from(y?.data as Float32Array);
}

test('models of the same weights name the same temporary file, which goes with the last of them', async () => {
  const [a, b, c] = [matrix(0.1), matrix(0.2), matrix(0.3)];
  const plain = await Promise.all([chain(a, b), chain(a, b, c)].map((graph) => answer(ortModel(graph))));
  const [first, second] = [ortModel(chain(a, b), [], 0), ortModel(chain(a, b, c), [], 0)];
  const other = ortModel(chain(matrix(0.1), matrix(0.2)), [], 0);
  expect(second.weightsFolder).toBe(first.weightsFolder);
  expect(other.weightsFolder).not.toBe(first.weightsFolder);
  const far = (found: number[], wanted: number[] = []) =>
    Math.max(...found.map((value, i) => Math.abs(value - (wanted[i] ?? Number.NaN))));
  // Mapped weights are not repacked, so sums are taken in another order.
  expect(far(await answer(first), plain[0])).toBeLessThan(1e-5);
  expect(far(await answer(second), plain[1])).toBeLessThan(1e-5);

  discardModel(first);
  expect(far(await answer(second), plain[1])).toBeLessThan(1e-5);
  discardModel(second);
  expect(existsSync(second.weightsFolder ?? '')).toBe(false);
  expect(far(await answer(other), plain[0])).toBeLessThan(1e-5);
  discardModel(other);
});
