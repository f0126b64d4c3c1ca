import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, type TensorProto } from 'onnx-buf';
import { beforeAll, describe, expect, test } from 'vitest';
import { startBackend } from '../../engine/backend.ts';
import type { Graph, GraphNode, Tensor } from '../graph.ts';
import { writeOnnx } from '../onnx-file.ts';
import { writeTensor } from '../onnx-tensor.ts';
import type { ConformanceCase } from './case-files.ts';
import { exclusionOf } from './exclusion.ts';
import { runCases } from './report.ts';
import { difference } from './run-case.ts';

const floats = (...values: number[]): Tensor => ({
  dtype: 'float32',
  dims: [values.length],
  data: Float32Array.from(values),
});

/** A case of one node on x = [-1, 2]. */
function caseOf(node: Partial<GraphNode>, expected: Tensor): ConformanceCase {
  const graph: Graph = {
    name: 'case',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'x', dtype: 'float32', dims: [2] }],
    outputs: [{ name: 'y', dtype: 'float32', dims: [2] }],
    initializers: new Map(),
    nodes: [
      { name: 'n', opType: 'Relu', domain: '', inputs: ['x'], outputs: ['y'], attributes: {}, ...node },
    ],
  };
  const bytes = writeOnnx(graph);
  const proto = (tensor: Tensor): TensorProto => writeTensor('t', tensor);
  return {
    name: 'test_case',
    release: '1.0.0',
    bytes,
    model: fromBinary(ModelProtoSchema, bytes),
    data: { inputs: [proto(floats(-1, 2))], outputs: [proto(expected)] },
  };
}

beforeAll(async () => {
  await startBackend('wasm');
});

test('a report counts what passes, names what fails, and gives each excluded case one reason', () => {
  const report = runCases([
    caseOf({}, floats(0, 2)),
    caseOf({}, floats(0, 3)),
    caseOf({ opType: 'QuantizeLinear' }, floats(0, 2)),
    caseOf({ opType: 'Bogus' }, floats(0, 2)),
  ]);
  expect(report).toEqual({
    passed: 1,
    failed: { '1.0.0 test_case': 'is 2, not 3, at 1' },
    excluded: { 'quantised operators': 1, 'operators outside the table': 1 },
    missing: ['Bogus'],
  });
});

test('a case that the interpreter refuses has failed, with its message', () => {
  const { failed } = runCases([caseOf({ inputs: ['x', 'x'], opType: 'Gemm' }, floats(0, 2))]);
  expect(Object.values(failed)[0]).toContain('Node n (Gemm) failed');
});

test('a case without plain tensors does not apply', () => {
  const { data: _, ...bare } = caseOf({}, floats(0, 2));
  expect(exclusionOf(bare)).toBe('sequences, maps and optionals');
});

describe('the comparer', () => {
  test.each([
    ['a missing output', undefined, floats(1), 'is missing'],
    ['a value', floats(1, 2), floats(1, 2.1), 'is 2, not 2.0999999046325684, at 1'],
    ['not a number', floats(Number.NaN), floats(1), 'is NaN, not 1, at 0'],
    ['a shape', floats(1, 2), floats(1), 'has shape [2], not [1]'],
    [
      'a kind',
      { dtype: 'int64', dims: [1], data: BigInt64Array.of(1n) } as Tensor,
      floats(1),
      'is int64, not float32',
    ],
  ])('sees %s', (_, actual, expected, message) => {
    expect(difference(actual, expected)).toBe(message);
  });

  test('takes infinities, NaN for NaN, and float rounding', () => {
    const odd = floats(Infinity, Number.NaN, 1.0005);
    expect(difference(odd, floats(Infinity, Number.NaN, 1))).toBeUndefined();
  });
});
