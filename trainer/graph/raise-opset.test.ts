import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import type { GraphNode } from './graph.ts';
import { prepareGraph } from './prepare.ts';

/** Of rows [batch, length, 6] in two halves: what is written otherwise from opset 13 on, as 12 writes it. */
function older(softmaxAxis: number, opset: number) {
  const b = new GraphBuilder();
  const x = b.input('x', ['batch', 'length', 6]);
  const [left = '', right = ''] = b.ops('Split', [b.linear(x, b.weight(6, 7))], 2, {
    axis: 2,
    split: [3, 4],
  });
  const sum = b.op('ReduceSum', [right], { axes: [2], keepdims: 0 });
  const column = b.op('Unsqueeze', [sum], { axes: [2] });
  const weights = b.op('Softmax', [b.op('Mul', [left, column])], { axis: softmaxAxis });
  const row = b.op('Squeeze', [b.op('Unsqueeze', [weights], { axes: [0] })], { axes: [0] });
  const graph = b.build({ y: [b.op('Dropout', [row]), ['batch', 'length', 3]] }, opset);
  const ratio = { ratio: { kind: 'float', value: 0.5 } } as const;
  const withRatio = (node: GraphNode) => (node.opType === 'Dropout' ? { ...node, attributes: ratio } : node);
  return opset < 12 ? { ...graph, nodes: graph.nodes.map(withRatio) } : graph;
}

describe('models of older opsets', () => {
  test.each([11, 12])('are written at 13: %d', async (opset) => {
    const { graph } = await prepareGraph(older(2, opset), 'built');
    expect(graph.opsets['']).toBe(13);
    expect(graph.nodes.map(({ opType }) => opType)).toContain('ReduceSum');
  });

  test('stay what they are where a Softmax takes several axes together', async () => {
    const { graph } = await prepareGraph(older(1, 12), 'built');
    expect(graph.opsets['']).toBe(12);
  });
});
