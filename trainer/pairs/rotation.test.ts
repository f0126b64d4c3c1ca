import { inverse, Matrix } from 'ml-matrix';
import { expect, test } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { relativeError } from '../graph/relative-error.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import { randomSource } from '../search/random.ts';
import {
  readBias,
  readMatrix,
  type Weights,
  weightsOf,
  writeBias,
  writeMatrix,
} from '../weights/linear-weights.ts';
import { architectures } from './architectures.case.ts';
import type { LinearMap, Pair } from './pair.ts';
import { preparePairs } from './prepare.ts';
import { rotaryLayouts } from './rotary-layouts.case.ts';

/** Columns of head h times `turns[h / share]`. */
function turn(
  weights: Weights,
  map: LinearMap,
  units: number,
  turns: readonly Matrix[],
  withBias: boolean,
): void {
  const apply = (rows: number, cols: number, data: Float64Array) => {
    const out = new Float64Array(data.length);
    const share = cols / units / turns.length;
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < cols; c++) {
        const head = Math.floor(c / units);
        const by = turns[Math.floor(head / share)] as Matrix;
        for (let j = 0; j < units; j++)
          out[r * cols + head * units + j]! += (data[r * cols + c] ?? 0) * by.get(c % units, j);
      }
    return out;
  };
  const matrix = readMatrix(weights, map);
  writeMatrix(weights, map, { ...matrix, data: apply(matrix.rows, matrix.cols, matrix.data) });
  const bias = withBias ? readBias(weights, map.bias) : undefined;
  if (bias && map.bias) writeBias(weights, map.bias, apply(1, bias.length, bias));
}

/** Any invertible change of basis, one a key-value head. */
function turned(graph: Graph, pair: Pair): Graph {
  const weights = weightsOf(graph);
  const random = randomSource(3, 201, 0);
  const turns = Array.from({ length: pair.kvHeads ?? pair.heads }, () =>
    Matrix.eye(pair.units).add(
      new Matrix(pair.units, pair.units).apply(function (i, j) {
        this.set(i, j, 0.4 * (random.uniform() - 0.5));
      }),
    ),
  );
  const back = turns.map((matrix) => inverse(matrix).transpose());
  const [first, second] = pair.kind === 'query-key' ? pair.producers : [pair.producers[0], pair.consumers[0]];
  turn(weights, first as LinearMap, pair.units, turns, true);
  turn(weights, second as LinearMap, pair.units, back, pair.kind === 'query-key');
  return { ...graph, initializers: weights };
}

test('a pair marked for rotation keeps the function under any change of basis, head by head', async () => {
  let checked = 0;
  for (const { name, graph } of architectures) {
    const model = await preparePairs(graph(), name);
    const inputs = sampleInputs(model.graph, { batch: 2, length: 7 }, 4);
    const run = async (candidate: Graph) => {
      const session = await createOrtSession(writeOnnx(candidate));
      const { y } = await session.run(inputs);
      await session.close();
      return y?.data ?? [];
    };
    const dense = await run(model.graph);
    for (const pair of model.pairs) {
      if (!pair.rotation) continue;
      const { relative } = relativeError(await run(turned(model.graph, pair)), dense);
      expect(relative, `${name}: ${pair.name}`).toBeLessThan(1e-4);
      checked += 1;
    }
  }
  expect(checked).toBeGreaterThan(15);
});

test('rotary positions forbid rotating queries and keys, not values', async () => {
  const seen = new Set<string>();
  for (const { graph } of rotaryLayouts) {
    const { pairs } = await preparePairs(graph(), 'rotary');
    for (const { kind, rotation } of pairs) {
      seen.add(kind);
      expect(rotation !== undefined).toBe(kind === 'value-projection');
    }
  }
  expect([...seen]).toEqual(expect.arrayContaining(['query-key', 'value-projection']));
});
