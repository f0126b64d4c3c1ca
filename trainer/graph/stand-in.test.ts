import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import { deferredTensor, derivedTensor, tensorCache } from './deferred.ts';
import { expressed } from './expressed.ts';
import { gather } from './gather.ts';
import { elementCount, type Graph } from './graph.ts';
import { transposeMatrix } from './linear.ts';
import { ortModel } from './ort-model.ts';
import { relativeError } from './relative-error.ts';
import { standIns } from './stand-in.ts';

const [WIDTH, INNER] = [256, 1024];

interface Reading {
  elements: number;
}

/** The graph's matrices in a file that is read in parts only: whole tensors are counted, and refused where nothing may ask for them. */
function inFile(graph: Graph, reading: Reading, data?: 'absent'): Graph {
  const cache = tensorCache(2 ** 20);
  const initializers = [...graph.initializers].map(([name, tensor]) => {
    if (tensor.dtype !== 'float32' || tensor.dims.length < 2) return [name, tensor] as const;
    const { data: values, dims } = tensor;
    const count = (elements: number) => {
      reading.elements += elements;
    };
    const whole = () => {
      if (data === 'absent') throw new Error(`${name} was read whole`);
      count(elementCount(dims));
      return values;
    };
    const element = (index: number) => {
      count(1);
      return Number(values[index]);
    };
    return [name, deferredTensor('float32', dims, whole, cache, { element })] as const;
  });
  return { ...graph, initializers: new Map(initializers) };
}

/** An MLP, its first matrix turned round by the graph, on the rows that a table gives. */
function mlp(): Graph {
  const b = new GraphBuilder();
  const ids = b.input('ids', ['batch', 'length'], 'int64');
  const x = b.op('Gather', [b.weight(500, WIDTH), ids], { axis: 0 });
  const turned = b.op('Transpose', [b.weight(INNER, WIDTH)], { perm: [1, 0] });
  const hidden = b.op('Relu', [b.op('MatMul', [x, turned])]);
  return b.build({ y: [b.linear(hidden, b.weight(INNER, WIDTH)), ['batch', 'length', WIDTH]] });
}

describe('weights that lie in files', () => {
  test('are not read to find pairs, but for a few elements that tell them apart', async () => {
    const reading = { elements: 0 };
    const { pairs } = await preparePairs(inFile(mlp(), reading, 'absent'), 'mlp');
    expect(pairs.map(({ kind, units }) => [kind, units])).toEqual([['sequential', INNER]]);
    expect(reading.elements).toBeLessThan(1000);
  });

  test('are read where stand-ins show a difference that is none', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['batch', WIDTH]);
    const scaled = b.op('Exp', [b.weight(WIDTH, INNER)]);
    const hidden = b.op('Relu', [b.op('MatMul', [x, scaled])]);
    const graph = b.build({ y: [b.linear(hidden, b.weight(INNER, WIDTH)), ['batch', WIDTH]] });
    const reading = { elements: 0 };
    const { pairs } = await preparePairs(inFile(graph, reading), 'scaled');
    expect(pairs.map(({ units }) => units)).toEqual([INNER]);
    expect(reading.elements).toBeGreaterThanOrEqual(WIDTH * INNER);
  });

  test('get stand-ins that are equal where they are equal, and made alike', () => {
    const reading = { elements: 0 };
    const { initializers } = inFile(mlp(), reading);
    const [table, first] = [...initializers.values()].filter(({ dims }) => dims.length === 2);
    if (!table || !first) throw new Error('the model has no matrices');
    const graph = {
      ...mlp(),
      initializers: new Map([
        ['a', first],
        ['b', transposeMatrix(first)],
        ['c', table],
      ]),
    };
    const stood = standIns(graph)?.(graph).initializers;
    const [a, b, c] = ['a', 'b', 'c'].map((name) => stood?.get(name));
    expect([a?.dims, b?.dims]).toEqual([
      [INNER, WIDTH],
      [WIDTH, INNER],
    ]);
    for (const [i, j] of [
      [0, 1],
      [700, 200],
    ] as const)
      expect(a?.data[i * WIDTH + j]).toBe(b?.data[j * INNER + i]);
    expect(c?.data.slice(0, 10)).not.toEqual(table.data.slice(0, 10));
    expect(c?.data.every((value) => Math.abs(Number(value)) < 0.1)).toBe(true);
  });
});

test('tensors made of others are computed in the run, to the same answers', async () => {
  const b = new GraphBuilder();
  const x = b.input('x', ['batch', 6]);
  const graph = b.build({ y: [b.linear(x, b.weight(6, 8)), ['batch', 4]] });
  const [[name, tensor] = ['', undefined]] = graph.initializers;
  if (!tensor) throw new Error('the model has no matrix');
  const base = deferredTensor('float32', tensor.dims, () => tensor.data, tensorCache(2 ** 20));
  const turned = transposeMatrix(transposeMatrix(base));
  const part = gather(gather(turned, 1, [7, 0, 3, 2]), 0, [5, 4, 3, 2, 1, 0]);
  const cut = { ...graph, initializers: new Map([[name, part]]) };
  const written = expressed(cut);
  expect(written.nodes.slice(0, 5).map(({ opType }) => opType)).toEqual([
    'Transpose',
    'Transpose',
    'Gather',
    'Gather',
    'MatMul',
  ]);
  const inputs = sampleInputs(graph, { batch: 3, length: 1 }, 1);
  const answer = async (model: Graph) => {
    const session = await createOrtSession(ortModel(model), { optimise: false });
    return session.run(inputs).finally(() => session.close());
  };
  const [expected, actual] = [await answer(cut), await answer(written)];
  expect(relativeError(actual.y?.data ?? [], expected.y?.data ?? []).relative).toBe(0);
  // What no operator makes stays as it is.
  const doubled = derivedTensor(base, tensor.dims, (data) =>
    Float32Array.from(data as Float32Array, (value) => 2 * value),
  );
  expect(expressed({ ...graph, initializers: new Map([[name, doubled]]) }).nodes).toEqual(graph.nodes);
});
