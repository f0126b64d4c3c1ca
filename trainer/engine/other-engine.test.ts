import { expect, test } from 'vitest';
import { SppError } from '../../schema/errors.ts';
import type { Graph } from '../graph/graph.ts';
import { sayingWhoElse } from './other-engine.ts';

const graphOf = (opType: string): Graph => ({
  name: 'one',
  irVersion: 8,
  opsets: { '': 17 },
  inputs: [{ name: 'x', dtype: 'float32', dims: ['n'] }],
  outputs: [{ name: 'y', dtype: 'float32', dims: ['n'] }],
  initializers: new Map(),
  nodes: [{ name: 'middle', opType, domain: '', inputs: ['x'], outputs: ['y'], attributes: {} }],
});
const missing = new SppError('unsupported-op', 'There is no gradient of it.', {
  details: { missing: ['it'] },
});

test.each([
  ['Erf', 'TensorFlow.js has it'],
  ['Bogus', 'does not run the model either: Operators that are not supported: Bogus (opset 17) at middle'],
])('of a graph with %s, the way out is one that there is', (opType, hint) => {
  expect(sayingWhoElse(missing, graphOf(opType))).toMatchObject({
    code: 'unsupported-op',
    message: missing.message,
    hint: expect.stringContaining(hint),
  });
});

test('other failures stay what they are', () => {
  const other = new SppError('bad-model', 'It does not load.');
  expect(sayingWhoElse(other, graphOf('Erf'))).toBe(other);
});
