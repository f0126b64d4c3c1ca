import { create } from '@bufbuild/protobuf';
import { AttributeProto_AttributeType, GraphProtoSchema, type ModelProto, ModelProtoSchema } from 'onnx-buf';
import { expect, test } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import { surveyOperators, withLeftovers } from '../graph/operator-survey.ts';
import { operators, operatorsText } from './operators.ts';

function modelOf(nodes: readonly object[]): ModelProto {
  return create(ModelProtoSchema, {
    opsetImport: [
      { domain: '', version: 17n },
      { domain: 'com.microsoft', version: 1n },
    ],
    graph: { node: nodes.map((node, i) => ({ name: `n${i}`, output: [`y${i}`], ...node })) },
  });
}

const model = modelOf([
  { opType: 'Relu', input: ['x'] },
  { opType: 'Relu', input: ['y0'], domain: 'ai.onnx' },
  { opType: 'SkipLayerNormalization', domain: 'com.microsoft', input: ['y1', 'y0', 'w'] },
  { opType: 'NonMaxSuppression', input: ['y2'] },
  { opType: 'NonMaxSuppression', input: ['y2'] },
  { opType: 'RMSNormalization', input: ['y2', 'w'] },
  { opType: 'Block', domain: 'mine', input: ['y2'] },
  {
    opType: 'Loop',
    input: ['c'],
    attribute: [{ name: 'body', type: AttributeProto_AttributeType.GRAPH, g: create(GraphProtoSchema, {}) }],
  },
  {
    opType: 'If',
    input: ['c'],
    attribute: [
      {
        name: 'then_branch',
        type: AttributeProto_AttributeType.GRAPH,
        g: create(GraphProtoSchema, { node: [{ opType: 'Relu', name: 'inside', input: ['x'] }] }),
      },
    ],
  },
  { opType: 'DequantizeLinear', input: ['y2', 's'] },
  {
    opType: 'Pad',
    input: ['x'],
    attribute: [
      {
        name: 'mode',
        type: AttributeProto_AttributeType.STRING,
        s: new TextEncoder().encode('mirror'),
      },
    ],
  },
  { opType: 'Constant' },
]);

test('all that is missing is listed at once, with operator, opset, nodes and reason', () => {
  const { missing } = operators(surveyOperators(model));
  expect(missing).toEqual([
    {
      opType: 'Block',
      domain: 'mine',
      opset: 0,
      reason: 'not in the table',
      nodes: ['n6'],
    },
    { opType: 'DequantizeLinear', domain: '', opset: 17, reason: 'quantised', nodes: ['n9'] },
    { opType: 'Loop', domain: '', opset: 17, reason: 'runs a subgraph', nodes: ['n7'] },
    { opType: 'NonMaxSuppression', domain: '', opset: 17, reason: 'not in the table', nodes: ['n3', 'n4'] },
    { opType: 'Pad', domain: '', opset: 17, reason: "with the padding mode 'mirror'", nodes: ['n10'] },
  ]);
});

test('what runs, and what is taken apart first, is counted', () => {
  const found = operators(surveyOperators(model)).operators.filter(({ state }) => state !== 'missing');
  expect(found).toEqual([
    { opType: 'If', domain: '', opset: 17, nodes: 1, state: 'decided' },
    { opType: 'RMSNormalization', domain: '', opset: 17, nodes: 1, state: 'runs' },
    { opType: 'Relu', domain: '', opset: 17, nodes: 3, state: 'runs' },
    { opType: 'SkipLayerNormalization', domain: 'com.microsoft', opset: 1, nodes: 1, state: 'taken apart' },
  ]);
});

test('people see a table and one line for each that is missing', () => {
  const text = operatorsText(surveyOperators(model));
  expect(text).toMatch(/^Relu +17 +3 +runs$/m);
  expect(text).toContain('  NonMaxSuppression (opset 17): not in the table; at n3, n4');
  expect(operatorsText(surveyOperators(modelOf([{ opType: 'Relu', input: ['x'] }])))).toContain(
    'All of them can be run.',
  );
});

test('an operator that has no plain form as it stands in this file is missing, the others of its kind are not', () => {
  const attention = { opType: 'GroupQueryAttention', domain: 'com.microsoft', input: ['q'] };
  const uses = surveyOperators(modelOf([attention, attention]));
  expect(uses.map(({ state }) => state)).toEqual(['taken apart']);
  const left = { name: 'n1', ...attention, inputs: ['q'], outputs: ['y1'], attributes: {} };
  const plain: Graph = {
    name: 'plain',
    irVersion: 9,
    opsets: { '': 17, 'com.microsoft': 1 },
    inputs: [],
    outputs: [],
    initializers: new Map(),
    nodes: [left],
  };
  const found = operators(withLeftovers(uses, plain));
  expect(found.operators.map(({ state, nodes }) => [state, nodes])).toEqual([
    ['taken apart', 1],
    ['missing', 1],
  ]);
  expect(found.missing[0]).toMatchObject({ nodes: ['n1'], reason: 'in a form that has no plain one' });
});
