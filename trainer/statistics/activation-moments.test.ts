import { expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { ortModel } from '../graph/ort-model.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { MomentsAccumulator, momentsGraph } from './activation-moments.ts';

// Sums take their axes as an attribute up to opset 12, and as an input from 13 on.
test.each([11, 12, 13, 20])('sums and products of all rows, in a model of opset %d', async (opset) => {
  const b = new GraphBuilder();
  const doubled = b.op('Add', [b.input('x', ['n', 2, 3]), 'x']);
  const graph = b.build({ y: [doubled, ['n', 2, 3]] }, opset);
  const session = await createOrtSession(ortModel(momentsGraph(graph, [doubled])));
  const moments = new MomentsAccumulator([doubled]);
  for (const data of [Float32Array.of(1, 0, 2, 3, 1, 0), Float32Array.of(0, 1, 1, 2, 0, 0)])
    moments.add(await session.run({ x: { dtype: 'float32', dims: [1, 2, 3], data } }));
  await session.close();
  const { count, sum, gram } = moments.result().get(doubled)!;
  expect(count).toBe(4);
  expect([...sum]).toEqual([12, 4, 6]);
  expect([...gram]).toEqual([56, 12, 8, 12, 8, 4, 8, 4, 20]);
});
