import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { traceGraph } from '../graph/trace.ts';
import { followDimensions } from './dimensions.ts';
import type { Flow } from './flow.ts';

/** Builds, traces and follows; the output is the last value, under the name y. */
async function follow(
  build: (b: GraphBuilder) => string,
  dims: readonly (number | string)[],
): Promise<{
  flow: Flow;
  axesOf: (value: string) => number[][];
  reasons: (value: string) => (string | undefined)[];
}> {
  const b = new GraphBuilder();
  const graph = b.build({ y: [build(b), dims] });
  const { traces } = await traceGraph(graph, 'built', () => false);
  const flow = followDimensions(graph, traces);
  const axesOf = (value: string) => flow.axesOf(value).map((axis) => flow.atoms.leaves(axis));
  return {
    flow,
    axesOf,
    reasons: (value) => axesOf(value).map((leaves) => flow.atoms.reason(leaves[0] ?? -1)),
  };
}

describe('how axes go through operators', () => {
  test('a linear ties its input axis to the matrix and hands out a new axis', async () => {
    const names: string[] = [];
    const { flow } = await follow(
      (b) => {
        const hidden = b.linear(b.input('x', ['n', 4]), b.weight(4, 6));
        names.push(hidden);
        return b.op('Relu', [b.linear(b.op('Tanh', [hidden]), b.weight(6, 3))]);
      },
      ['n', 3],
    );
    const [first, second] = flow.contractions;
    const hidden = flow.atoms.leaves(flow.axesOf(names[0] ?? '')[1] ?? []);
    expect(flow.atoms.leaves(second?.axis ?? [])).toEqual(hidden);
    expect(flow.atoms.reason(hidden[0] ?? -1)).toBeUndefined();
    expect(flow.atoms.reason(flow.atoms.leaves(first?.axis ?? [])[0] ?? -1)).toBe('comes from the input x');
  });

  test('elementwise operators align at the last axis; broadcast axes say nothing', async () => {
    const { axesOf } = await follow(
      (b) => b.op('Mul', [b.input('x', ['n', 'm', 4]), b.op('Add', [b.input('z', [1, 4]), b.weight(4)])]),
      ['n', 'm', 4],
    );
    expect(axesOf('y')).toEqual(axesOf('x'));
    expect(axesOf('z')).toEqual([[], axesOf('x')[2]]);
  });

  test('GatherElements looks up one axis, along the others that data and indices share', async () => {
    let turned = '';
    const { axesOf, reasons } = await follow(
      (b) => {
        const hidden = b.linear(b.input('x', ['n', 'm', 4]), b.weight(4, 6));
        turned = b.op('Transpose', [hidden], { perm: [0, 2, 1] });
        const places = b.op('Expand', [b.input('places', ['n', 1, 'k'], 'int64'), b.ints(1, 6, 1)]);
        return b.op('GatherElements', [turned, b.op('Mul', [places, b.ints(0)])], { axis: 2 });
      },
      ['n', 6, 'k'],
    );
    expect(axesOf('y')[1]).toEqual(axesOf(turned)[1]);
    expect(reasons('y')[1]).toBe('reaches the output y');
    expect(axesOf('y')[2]).not.toEqual(axesOf(turned)[2]);
  });

  test('Reshape refines and composes the same atoms; Transpose moves them', async () => {
    const { axesOf } = await follow(
      (b) => {
        const split = b.op('Reshape', [b.input('x', ['n', 5, 24]), b.ints(0, 5, 2, 3, 4)]);
        const moved = b.op('Transpose', [split], { perm: [0, 3, 2, 1, 4] });
        return b.op('Reshape', [moved, b.ints(-1, 6, 20)]);
      },
      ['n', 6, 20],
    );
    const [[n], [five], [two, three, four]] = axesOf('x') as [number[], number[], number[]];
    expect(axesOf('y')).toEqual([[n], [three, two], [five, four]]);
  });

  test('a Reshape across boundaries pins', async () => {
    const { reasons } = await follow((b) => b.op('Reshape', [b.input('x', [4, 6]), b.ints(6, 4)]), [6, 4]);
    expect(reasons('y')[0]).toMatch(/regrouped|comes from the input/);
  });

  test('halves of an axis are the same units; the choice of half is pinned', async () => {
    const { flow, axesOf } = await follow(
      (b) => {
        const x = b.linear(b.input('x', ['n', 4]), b.weight(4, 6));
        return b.op('Concat', [b.slice(x, 1, 3, 6), b.slice(x, 1, 0, 3)], { axis: 1 });
      },
      ['n', 6],
    );
    const [pieces, unit] = axesOf('y')[1] as [number, number];
    expect(flow.atoms.size(unit)[0]).toBe(3);
    expect(flow.atoms.reason(pieces)).toMatch(/joined by Concat/);
  });

  test('a half counted from the end is one too', async () => {
    const { flow, axesOf } = await follow(
      (b) => {
        const x = b.linear(b.input('x', ['n', 4]), b.weight(4, 6));
        return b.op('Concat', [b.slice(x, 1, -3, 6), b.slice(x, 1, 0, -3)], { axis: 1 });
      },
      ['n', 6],
    );
    const [, unit] = axesOf('y')[1] as [number, number];
    expect(flow.atoms.size(unit)[0]).toBe(3);
  });

  test('GatherND looks up its leading axes, and passes those behind them', async () => {
    const { flow, axesOf } = await follow(
      (b) =>
        b.op('GatherND', [b.input('x', [5, 'n', 6]), b.op('Cast', [b.input('at', ['m', 1])], { to: 7 })]),
      ['m', 'n', 6],
    );
    expect(axesOf('y').slice(1)).toEqual(axesOf('x').slice(1));
    expect(flow.atoms.reason(axesOf('x')[0]?.[0] ?? -1)).toBeDefined();
  });

  test('a chunk of a sequence whose place is computed leaves the other axes free', async () => {
    const names: string[] = [];
    const { axesOf, reasons } = await follow(
      (b) => {
        const x = b.linear(b.input('x', ['n', 't', 4]), b.weight(4, 6));
        names.push(x);
        const length = b.op('Slice', [b.op('Shape', [x]), b.ints(1), b.ints(2)]);
        const half = b.op('Div', [length, b.ints(2)]);
        return b.op('Slice', [x, half, length, b.ints(1)]);
      },
      ['n', 'm', 6],
    );
    expect(axesOf('y')[2]).toEqual(axesOf(names[0] ?? '')[2]);
    expect(reasons(names[0] ?? '')[2]).not.toMatch(/Slice/);
    expect(reasons('y')[1]).toMatch(/unequal parts/);
  });

  const pinning: readonly (readonly [string, (b: GraphBuilder, x: string) => string, RegExp])[] = [
    ['Softmax', (b, x) => b.op('Softmax', [x], { axis: -1 }), /mixed by Softmax/],
    ['LayerNormalization', (b, x) => b.op('LayerNormalization', [x, b.weight(6)]), /normalised over/],
    ['ReduceMean', (b, x) => b.op('ReduceMean', [x, b.ints(-1)]), /reduced by ReduceMean/],
    [
      'CumSum',
      (b, x) => b.op('CumSum', [x, b.constant({ dtype: 'int64', dims: [], data: BigInt64Array.of(1n) })]),
      /summed up/,
    ],
    ['unequal Slice', (b, x) => b.slice(x, 1, 0, 5), /unequal parts/],
    ['Gather', (b, x) => b.op('Gather', [x, b.ints(0, 2)], { axis: 1 }), /looked up/],
    ['Pad', (b, x) => b.op('Pad', [x, b.ints(0, 0, 0, 2)]), /reshaped by Pad/],
    [
      'ConvTranspose',
      (b, x) => b.op('ConvTranspose', [b.op('Unsqueeze', [x, b.ints(2)]), b.weight(6, 2, 3)]),
      /mixed by ConvTranspose/,
    ],
    ['an unknown operator', (b, x) => b.op('LpNormalization', [x]), /LpNormalization, which is not followed/],
  ];
  test.each(pinning)('%s pins the axis that it mixes', async (_, apply, reason) => {
    const names: string[] = [];
    const { reasons } = await follow(
      (b) => {
        const x = b.linear(b.input('x', ['n', 4]), b.weight(4, 6));
        names.push(x);
        return apply(b, x);
      },
      ['n', 'm'],
    );
    expect(reasons(names[0] ?? '')[1]).toMatch(reason);
  });
});
