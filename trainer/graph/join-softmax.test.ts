import { expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { prepareGraph } from './prepare.ts';

test.each([
  ['their own sum', 'Softmax', false],
  ['another sum than their own', 'Exp', true],
] as const)('exponentials over %s are written as %s', async (_, expected, squared) => {
  const b = new GraphBuilder();
  const exponentials = b.op('Exp', [b.input('x', ['batch', 'length', 6])]);
  const summed = squared ? b.op('Mul', [exponentials, exponentials]) : exponentials;
  const sum = b.op('ReduceSum', [summed, b.ints(-1)]);
  const shares = b.op('Div', [exponentials, sum]);
  const { graph } = await prepareGraph(b.build({ y: [shares, ['batch', 'length', 6]] }), 'built');
  expect(graph.nodes.map(({ opType }) => opType)).toContain(expected);
  expect(graph.nodes.some(({ opType }) => opType === 'Softmax')).toBe(expected === 'Softmax');
});
