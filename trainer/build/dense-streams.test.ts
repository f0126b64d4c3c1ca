import { expect, test } from 'vitest';
import type { GraphBuilder } from '../../test/support/graph-builder.ts';
import { model, WIDTH } from '../pairs/layout-blocks.case.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { refitSites } from './dense-streams.ts';

const HIDDEN = 20;
const EXPERT = 12;

const mlp = (b: GraphBuilder, x: string, hidden: number) =>
  b.linear(b.op('Relu', [b.linear(x, b.weight(WIDTH, hidden))]), b.weight(hidden, WIDTH));

/** The tokens whose sum is positive go to an expert, and what it makes is written back to their places. */
function expert(b: GraphBuilder, x: string): string {
  const flat = b.op('Reshape', [x, b.ints(-1, WIDTH)]);
  const gate = b.op('ReduceSum', [flat, b.ints(-1)], { keepdims: 0 });
  const chosen = b.op('NonZero', [b.op('Greater', [gate, b.scalar(0)])]); // [1, tokens]
  const tokens = b.op('Gather', [flat, b.op('Squeeze', [chosen, b.ints(0)])], { axis: 0 });
  const places = b.op('Transpose', [chosen], { perm: [1, 0] });
  return b.op('Reshape', [b.op('ScatterND', [flat, places, mlp(b, tokens, EXPERT)]), b.op('Shape', [x])]);
}

test("a matrix whose outputs are the next pair's units is not refitted: levels lack some of them", async () => {
  const chained = model((b, x) => {
    const [first, second] = [b.linear(x, b.weight(WIDTH, HIDDEN)), b.weight(HIDDEN, EXPERT)];
    const units = b.linear(b.op('Relu', [first]), second);
    return b.op('Add', [x, b.linear(b.op('Tanh', [units]), b.weight(EXPERT, WIDTH))]);
  });
  const prepared = await preparePairs(chained, 'built');
  expect(prepared.pairs.map(({ units }) => units)).toEqual([HIDDEN, EXPERT]);
  const [site, ...others] = refitSites(prepared);
  expect(prepared.graph.initializers.get(site!.consumer.weight.tensor)?.dims).toEqual([EXPERT, WIDTH]);
  expect(others).toEqual([]);
});

test("an expert's output matrix is not refitted, those that all tokens pass are, in the model's order", async () => {
  const graph = model((b, x) => {
    const before = b.op('Add', [x, mlp(b, x, HIDDEN)]);
    const between = b.op('Add', [before, expert(b, before)]);
    return b.op('Add', [between, mlp(b, between, HIDDEN + 1)]);
  });
  const prepared = await preparePairs(graph, 'built');
  expect(prepared.pairs.map(({ units }) => units)).toEqual([HIDDEN, EXPERT, HIDDEN + 1]);
  const widths = refitSites(prepared).map(
    ({ consumer }) => prepared.graph.initializers.get(consumer.weight.tensor)?.dims[0],
  );
  expect(widths).toEqual([HIDDEN, HIDDEN + 1]);
});
