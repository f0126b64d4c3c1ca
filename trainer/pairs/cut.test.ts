import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import { cutGraph, orderGraph } from './cut.ts';
import { maskedGraph } from './mask-graph.ts';
import type { Pair } from './pair.ts';

const UNITS = 5;
const WEIGHT: readonly [number, number] = [2, 3 * UNITS * 2];

/** One tensor [2, 3 * 5 * 2] with the units in the middle, and a shape that follows them. */
function cuttable() {
  const count = WEIGHT[0] * WEIGHT[1];
  const graph: Graph = {
    name: 'g',
    irVersion: 9,
    opsets: { '': 20 },
    inputs: [],
    outputs: [],
    initializers: new Map([
      ['w', { dtype: 'float32', dims: WEIGHT, data: Float32Array.from({ length: count }, (_, i) => i) }],
      ['shape', { dtype: 'int64', dims: [2], data: BigInt64Array.of(-1n, 30n) }],
      ['other', { dtype: 'float32', dims: [1], data: Float32Array.of(9) }],
    ]),
    nodes: [{ name: 'v', opType: 'Identity', domain: '', inputs: ['w'], outputs: ['v'], attributes: {} }],
  };
  const pair: Pair = {
    name: 'layer0.mlp',
    kind: 'sequential',
    heads: 1,
    units: UNITS,
    flopsPerUnit: 1,
    paramsPerUnit: 12,
    unitAxes: [{ tensor: 'w', axis: 1, outer: 3, inner: 2 }],
    maskSites: [{ tensor: 'v', axis: 1, outer: 3, inner: 2, trailing: 0 }],
    producers: [],
    consumers: [],
  };
  return { graph, pairs: [pair], shapeConstants: [{ tensor: 'shape', index: 1, pair: 0, factor: 6 }] };
}

describe('cutting', () => {
  test('takes whole units out of every outer block, and follows in shapes', () => {
    const { initializers } = cutGraph(cuttable(), [[4, 1]]);
    const w = initializers.get('w');
    expect(w?.dims).toEqual([2, 12]);
    expect(w?.data.slice(0, 12)).toEqual(Float32Array.of(8, 9, 2, 3, 18, 19, 12, 13, 28, 29, 22, 23));
    expect(initializers.get('shape')?.data).toEqual(BigInt64Array.of(-1n, 12n));
    expect(initializers.get('other')?.data).toEqual(Float32Array.of(9));
  });

  test('a prefix of an ordered graph is the cut to those units', () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: UNITS });
    fc.assert(
      fc.property(order, fc.integer({ min: 1, max: UNITS }), (units, width) => {
        const model = cuttable();
        const ordered = { ...model, graph: orderGraph(model, [units]) };
        const prefix = Array.from({ length: width }, (_, i) => i);
        expect(cutGraph(ordered, [prefix])).toEqual(cutGraph(model, [units.slice(0, width)]));
      }),
    );
  });

  test.each([
    [[], /Nothing would be left/],
    [[5], /no unit 5/],
    [[1, 1], /repeat/],
  ])('refuses to keep %j', (kept, message) => {
    expect(() => cutGraph(cuttable(), [kept])).toThrow(message);
  });

  test('an order must be complete', () => {
    expect(() => orderGraph(cuttable(), [[0, 1]])).toThrow(/2 of 5/);
  });
});

describe('masking', () => {
  test('spreads the mask over outer blocks and inner neighbours, for all readers', () => {
    const { graph, pairs } = cuttable();
    const reader = { name: 'r', opType: 'Relu', domain: '', inputs: ['v'], outputs: ['r'], attributes: {} };
    const masked = maskedGraph({ ...graph, nodes: [...graph.nodes, reader] }, pairs, [
      Float32Array.of(1, 2, 3, 4, 5),
    ]);
    const [, mul, relu] = masked.nodes;
    expect(mul?.opType).toBe('Mul');
    expect(relu?.inputs).toEqual(mul?.outputs);
    const mask = masked.initializers.get(mul?.inputs[1] ?? '');
    expect(mask?.data).toEqual(
      Float32Array.from([...Array(3)].flatMap(() => [1, 1, 2, 2, 3, 3, 4, 4, 5, 5])),
    );
  });

  test('refuses a mask of the wrong length', () => {
    const { graph, pairs } = cuttable();
    expect(() => maskedGraph(graph, pairs, [new Float32Array(4)])).toThrow(/4 entries for 5 units/);
  });
});
