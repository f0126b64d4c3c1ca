import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { relativeError } from '../graph/relative-error.ts';
import { traceGraph } from '../graph/trace.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import { leanForward } from './lean-forward.ts';

test('a classifier gives the same answers, its last block computed for the token that is read', async () => {
  const { graph } = await prepareModel(
    readFileSync(new URL('../../examples/digits/digits.onnx', import.meta.url)),
    'digits',
  );
  const lean = await leanForward(graph);
  const feeds = sampleInputs(graph, { batch: 3, length: 1 }, 1);
  const [plain, less] = await Promise.all(
    [graph, lean].map(async (each) => {
      const session = await createOrtSession(writeOnnx(each));
      const answers = await session.run(feeds);
      await session.close();
      return answers;
    }),
  );
  for (const { name } of graph.outputs)
    expect(relativeError(less?.[name]?.data ?? [], plain?.[name]?.data ?? []).relative).toBeLessThan(1e-5);
  const elements = async (of: typeof graph) => {
    const { traces } = await traceGraph(of, 'the model', () => false);
    return [...traces[0].dims.values()].reduce((sum, dims) => sum + dims.reduce((a, b) => a * b, 1), 0);
  };
  expect(await elements(lean)).toBeLessThan(0.9 * (await elements(graph)));
});

test('what cannot be traced stays as it is', async () => {
  const graph: Graph = {
    name: 'seven',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'x', dtype: 'float32', dims: ['n', 'length'] }],
    outputs: [{ name: 'y', dtype: 'float32', dims: ['n', 'length'] }],
    initializers: new Map([['w', { dtype: 'float32', dims: [1, 5], data: new Float32Array(5) }]]),
    nodes: [{ name: 'add', opType: 'Add', domain: '', inputs: ['x', 'w'], outputs: ['y'], attributes: {} }],
  };
  expect(await leanForward(graph)).toBe(graph);
});
