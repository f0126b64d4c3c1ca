import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import type { Attribute, Branch, Graph, GraphNode, Tensor } from './graph.ts';
import { readOnnx, writeOnnx } from './onnx-file.ts';
import { relativeError } from './relative-error.ts';
import { settleBranches } from './settle-branches.ts';

const node = (
  opType: string,
  inputs: string[],
  output: string,
  attributes: Record<string, Attribute> = {},
): GraphNode => ({
  name: `${opType} of ${output}`,
  opType,
  domain: '',
  inputs,
  outputs: [output],
  attributes,
});

/** Ends in `end`, a name that all branches here share. */
const branch = (nodes: GraphNode[], initializers: Record<string, Tensor> = {}): Attribute => ({
  kind: 'branch',
  value: { nodes, initializers: new Map(Object.entries(initializers)), outputs: ['end'] } satisfies Branch,
});

const floats = (...values: number[]): Tensor => ({
  dtype: 'float32',
  dims: [values.length],
  data: Float32Array.from(values),
});

const identity = (value: string) => branch([node('Identity', [value], 'end')]);

/** Whether an axis has this length, as TorchScript asks before it squeezes. */
const isOfLength = (b: GraphBuilder, x: string, axis: number, length: number) =>
  b.op('Equal', [b.op('Gather', [b.op('Shape', [x]), b.ints(axis)]), b.ints(length)]);

const choose = (b: GraphBuilder, condition: string, then: Attribute, other: Attribute) =>
  b.op('If', [condition], { then_branch: then, else_branch: other });

/** As a file says it. */
const filed = (graph: Graph) => readOnnx(writeOnnx(graph), 'built.onnx');

async function answer(graph: Graph, batch: number): Promise<Tensor> {
  const session = await createOrtSession(writeOnnx(graph), { optimise: false });
  const { y } = await session
    .run(sampleInputs(graph, { batch, length: 5 }, 1))
    .finally(() => session.close());
  return y as Tensor;
}

describe('an If that a shape decides', () => {
  /** Squeezes an axis of length 1, scales by a number of the branch, and in it decides once more. */
  function nested(): Graph {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 1, 4]);
    const weight = b.weight(4, 4);
    const axis = b.ints(1);
    const inner = node('If', [isOfLength(b, x, 2, 7)], 'end', {
      then_branch: branch([], { end: floats(3) }),
      else_branch: branch([
        node('MatMul', ['flat', weight], 'mixed'),
        node('Mul', ['mixed', 'factor'], 'end'),
      ]),
    });
    const then = branch([node('Squeeze', [x, axis], 'flat'), inner], { factor: floats(2, 3, 4, 5) });
    const first = choose(b, isOfLength(b, x, 1, 1), then, identity(x));
    const second = choose(
      b,
      isOfLength(b, x, 1, 2),
      branch([], { end: floats(9) }),
      branch([node('Add', [first, 'factor'], 'end')], { factor: floats(1) }),
    );
    return b.build({ y: [b.op('MatMul', [second, b.weight(4, 3)]), ['n', 3]] });
  }

  test('gives way to the branch that is taken: names, constants, captured values and Ifs inside', async () => {
    const graph = filed(nested());
    const settled = await settleBranches(graph, 'built.onnx');
    const kinds = settled.nodes.map(({ opType }) => opType);
    expect(kinds).not.toContain('If');
    expect(kinds.filter((kind) => kind === 'MatMul' || kind === 'Mul')).toHaveLength(3);
    for (const batch of [1, 3]) {
      const expected = await answer(graph, batch);
      const found = await answer(settled, batch);
      expect(found.dims).toEqual(expected.dims);
      expect(relativeError(found.data, expected.data).relative).toBeLessThan(1e-6);
    }
  });

  test('a graph without one is left as it is', async () => {
    const b = new GraphBuilder();
    const graph = b.build({ y: [b.linear(b.input('x', ['n', 4]), b.weight(4, 3)), ['n', 3]] });
    expect(await settleBranches(graph, 'built.onnx')).toBe(graph);
  });

  test('a value that only a branch reads is not thrown away', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 4]);
    const made = b.op('Relu', [x]);
    const graph = b.build({ y: [choose(b, isOfLength(b, x, 1, 4), identity(made), identity(x)), ['n', 4]] });
    const settled = await settleBranches(filed(graph), 'built.onnx');
    expect(settled.nodes.map(({ opType }) => opType)).toEqual(['Relu', 'Identity', 'Identity', 'Identity']);
  });
});

describe('an If is refused by name', () => {
  const refusal = async (make: (b: GraphBuilder, x: string) => string) => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 'm']);
    const y = choose(b, make(b, x), identity(x), branch([node('Relu', [x], 'end')]));
    return settleBranches(filed(b.build({ y: [y, ['n', 'm']] })), 'built.onnx').catch(
      (error: unknown) => error,
    );
  };

  test('where what the inputs hold decides it, though all tries agree', async () => {
    const error = await refusal((b, x) => b.op('Less', [b.op('ReduceMax', [x]), b.scalar(1000)]));
    expect(error).toMatchObject({
      code: 'unsupported-op',
      message: expect.stringMatching(/node If_\d+ .*depends on what the inputs hold/),
    });
  });

  test('where an input decides it, as in merged decoders', async () => {
    const error = await refusal((b) => b.op('Cast', [b.input('use_cache', [1], 'int64')], { to: 9 }));
    expect(error).toMatchObject({ message: expect.stringMatching(/node If_\d+ .*which depends on/) });
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 4]);
    const graph = b.build({ y: [choose(b, 'flag', identity(x), identity(x)), ['n', 4]] });
    const flagged = {
      ...graph,
      inputs: [...graph.inputs, { name: 'flag', dtype: 'bool', dims: [1] } as const],
    };
    await expect(settleBranches(flagged, 'merged.onnx')).rejects.toMatchObject({
      message: expect.stringMatching(/takes a branch by flag, an input/),
      hint: expect.stringContaining('decoder_model.onnx'),
    });
  });

  test('where it differs between sizes', async () => {
    const error = await refusal((b, x) => isOfLength(b, x, 0, 1));
    expect(error).toMatchObject({
      code: 'unsupported-op',
      message: expect.stringMatching(/node If_\d+ .*another branch at other sizes/),
    });
  });

  test('where a branch reads what nothing makes', () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 4]);
    const graph = b.build({
      y: [choose(b, isOfLength(b, x, 0, 1), identity('lost'), identity(x)), ['n', 4]],
    });
    expect(() => filed(graph)).toThrow(/reads lost, which nothing makes/);
  });
});
