import { expect, test } from 'vitest';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { LinearMap, Pair } from '../pairs/pair.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { weightsOf } from '../weights/linear-weights.ts';
import { activationWeightOrder, equalShares, outputEnergyOrder, principalTaylorOrder } from './orders.ts';
import { compensateScores } from './score-compensation.ts';
import { outputEnergies, relativeImportances } from './scores.ts';

/** [rows, cols] with the units behind `outer` heads on axis 1. */
const linear = (name: string, outer: number, input: string, output: string): LinearMap => ({
  node: name,
  weight: { tensor: name, axis: 1, outer, inner: 1 },
  otherAxis: 0,
  input,
  output,
});
const pair = (name: string, units: number, rest: Partial<Pair>): Pair => ({
  name,
  kind: 'sequential',
  heads: 1,
  units,
  flopsPerUnit: 1,
  paramsPerUnit: 1,
  unitAxes: [],
  maskSites: [],
  producers: [],
  consumers: [],
  ...rest,
});
const matrix = (rows: number, values: number[]): Tensor => ({
  dtype: 'float32',
  dims: [rows, values.length / rows],
  data: Float32Array.from(values),
});
const graphOf = (tensors: Record<string, Tensor>): Graph => ({
  irVersion: 8,
  opsets: { '': 17 },
  name: 'test',
  inputs: [],
  outputs: [],
  initializers: new Map(Object.entries(tensors)),
  nodes: [],
});
const momentsFrom = (rows: number[][]): Moments => {
  const size = rows[0]?.length ?? 0;
  const gram = new Float64Array(size * size);
  const sum = new Float64Array(size);
  for (const row of rows)
    for (const [i, a] of row.entries()) {
      sum[i]! += a;
      for (const [j, b] of row.entries()) gram[i * size + j]! += a * b;
    }
  return { size, count: rows.length, sum, gram };
};

test('equal shares keep about the same part of each pair at every depth', () => {
  const pairs = [pair('a', 2, {}), pair('b', 4, {})];
  const order = equalShares(pairs, Float64Array.of(1, 2, 9, 8, 7, 6));
  expect(order).toEqual([2, 1, 3, 4, 0, 5]);
});

test('principal components keep their own order, the MLP is ordered by Taylor score', () => {
  const pairs = [pair('qk', 2, { kind: 'query-key', rotation: {} }), pair('mlp', 2, {})];
  const order = principalTaylorOrder(pairs, Float64Array.of(0, 100, 1, 2));
  expect(order.indexOf(0)).toBeLessThan(order.indexOf(1));
  expect(order.indexOf(3)).toBeLessThan(order.indexOf(2));
});

test('activation times weight is the published sum, by hand on a small matrix', () => {
  // Producer only: W [2 inputs, 2 units], input norms 1 and 16 (fourth root of the second moment: 1 and 2).
  const p = pair('mlp', 2, { producers: [linear('w', 1, 'x', 'u')] });
  const graph = graphOf({ w: matrix(2, [1, 3, 1, 1]) });
  const moments = new Map([['x', momentsFrom([[1, 4]])]]);
  const [a, b] = relativeImportances(graph, [p], moments);
  // unit 0: (1/2 + 1/4) * 1 + (1/2 + 1/2) * 2; unit 1: (3/4 + 3/4) * 1 + (1/4 + 1/2) * 2
  expect(a).toBeCloseTo(0.75 + 2, 9);
  expect(b).toBeCloseTo(1.5 + 1.5, 9);
  expect(activationWeightOrder(graph, [p], moments)).toEqual([1, 0]);
});

test('output energy multiplies second moments with squared weights, and query with key', () => {
  const mlp = pair('mlp', 2, { consumers: [linear('o', 1, 'u', 'y')] });
  const qk = pair('qk', 2, { producers: [linear('q', 1, 'x', 'q'), linear('k', 1, 'x', 'k')] });
  const graph = graphOf({ o: matrix(1, [2, 1]), q: matrix(1, [1, 1]), k: matrix(1, [1, 1]) });
  const moments = new Map([
    ['u', momentsFrom([[1, 3]])],
    ['q', momentsFrom([[2, 1]])],
    ['k', momentsFrom([[1, 1]])],
  ]);
  expect([...outputEnergies(graph, [mlp, qk], moments)]).toEqual([4, 9, 4, 1]);
  expect(outputEnergyOrder(graph, [mlp, qk], moments)).toEqual([1, 2, 0, 3]);
});

test('score compensation is the least-squares optimum for independent queries and keys', () => {
  const q = [
    [1, 0.9, 0.2],
    [0.3, 0.5, 1],
    [-1, -0.7, 0.4],
    [0.2, 0.1, -0.8],
  ];
  const k = [
    [0.5, 0.6, -0.3],
    [1, 0.8, 0.9],
    [-0.4, -0.2, 0.7],
  ];
  const p = pair('qk', 3, {
    kind: 'query-key',
    rotation: {},
    producers: [linear('q', 1, 'x', 'q'), linear('k', 1, 'x', 'k')],
  });
  const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];
  const weights = weightsOf(graphOf({ q: matrix(3, identity), k: matrix(3, identity) }));
  const moments = new Map([
    ['q', momentsFrom(q)],
    ['k', momentsFrom(k)],
  ]);
  const kept = [0, 2];
  compensateScores(weights, p, moments, kept, 1e-9);
  const turned = weights.get('q')!.data as Float32Array;
  const error = (scale: Float32Array | number[]) =>
    q.reduce(
      (total, a) =>
        total +
        k.reduce((sum, b) => {
          const exact = a.reduce((s, x, i) => s + x * b[i]!, 0);
          const given = kept.reduce(
            (s, unit) => s + kept.reduce((t, i) => t + a[i]! * scale[i * 3 + unit]!, 0) * b[unit]!,
            0,
          );
          return sum + (exact - given) ** 2;
        }, 0),
      0,
    );
  const best = error(turned);
  expect(best).toBeLessThan(error(identity));
  for (const at of [0, 2, 6, 8])
    for (const move of [-1e-2, 1e-2]) {
      const moved = turned.slice();
      moved[at]! += move;
      expect(error(moved)).toBeGreaterThan(best);
    }
});
