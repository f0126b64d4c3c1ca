import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { prepareGraph } from './prepare.ts';

const index = (b: GraphBuilder, value: bigint) =>
  b.constant({ dtype: 'int64', dims: [], data: BigInt64Array.of(value) });

describe('preparing a graph', () => {
  test('shape arithmetic collapses into constants, copies and one inferred length', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 'm', 6]);
    const size = (axis: bigint) =>
      b.op('Unsqueeze', [b.op('Gather', [b.op('Shape', [x]), index(b, axis)]), b.ints(0)]);
    const half = b.op('Div', [size(2n), b.ints(2)]);
    const y = b.op('Reshape', [x, b.op('Concat', [size(0n), size(1n), b.ints(2), half], { axis: 0 })]);
    const { graph } = await prepareGraph(b.build({ y: [y, ['n', 'm', 2, 3]] }), 'built');
    expect(graph.nodes.map(({ opType }) => opType)).toEqual(['Reshape', 'Identity']);
    const shape = graph.initializers.get(graph.nodes[0]?.inputs[1] ?? '');
    expect(shape?.data).toEqual(BigInt64Array.of(0n, 0n, 2n, 3n));
  });

  test('one length that is read of a permuted shape reads no other length', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 'm', 6]);
    const turned = b.op('Gather', [b.op('Shape', [x]), b.ints(0, 2, 1)], { axis: 0 });
    const length = b.op('Slice', [b.op('Gather', [turned, b.ints(1, 2)]), b.ints(1), b.ints(2)]);
    const scale = b.op('Mul', [x, b.op('Cast', [length], { to: 1 })]);
    const { graph } = await prepareGraph(b.build({ y: [scale, ['n', 'm', 6]] }), 'built');
    const shape = graph.nodes.find(({ opType }) => opType === 'Shape')?.outputs[0] ?? '';
    const readers = graph.nodes.filter(({ inputs }) => inputs.includes(shape));
    expect(readers).toHaveLength(1);
    const read = readers.flatMap(({ inputs }) =>
      Array.from(graph.initializers.get(inputs[1] ?? '')?.data ?? [], Number),
    );
    expect(read).toEqual([1]);
  });

  test('two writes that fill an axis are a concatenation; one at places that contents decide stays', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 'm', 6]);
    const places = b.op('Mul', [b.input('places', ['n', 1], 'int64'), b.ints(0)]);
    const turn = (value: string) => b.op('Transpose', [value], { perm: [2, 1, 0] });
    const sizes = b.op('Slice', [b.op('Shape', [x]), b.ints(0), b.ints(2), b.ints(0)]);
    const base = b.op('ConstantOfShape', [b.op('Concat', [sizes, b.ints(5)], { axis: 0 })]);
    // As dynamo writes `base[..., from:to] = value`: the axis first, and the places of its slice out of a Range.
    const write = (into: string, value: string, from: number, to: number) => {
      const length = b.op('Gather', [b.op('Shape', [into]), index(b, 2n)]);
      const all = b.op('Range', [index(b, 0n), length, index(b, 1n)]);
      const taken = b.op('Unsqueeze', [b.slice(all, 0, from, to), b.ints(-1)]);
      return turn(b.op('ScatterND', [turn(into), taken, turn(value)]));
    };
    const first = write(base, b.linear(x, b.weight(6, 3)), 0, 3);
    const filled = write(first, b.linear(x, b.weight(6, 2)), 3, 5);
    const open = b.op('ScatterND', [filled, places, b.op('Mul', [filled, b.scalar(2)])]);
    const { graph } = await prepareGraph(b.build({ y: [open, ['n', 'm', 5]] }), 'built');
    const kinds = graph.nodes.map(({ opType }) => opType);
    expect(kinds.filter((kind) => kind === 'ScatterND')).toHaveLength(1);
    expect(kinds).not.toContain('ConstantOfShape');
    const concat = graph.nodes.find(({ opType }) => opType === 'Concat');
    expect(concat?.inputs).toHaveLength(2);
  });

  test('what no input can change becomes an initializer; what follows a free dimension stays', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 4]);
    const table = b.op('Tanh', [b.op('Transpose', [b.weight(4, 1)])]);
    const count = b.op('Cast', [b.op('Gather', [b.op('Shape', [x]), index(b, 0n)])], { to: 1 });
    const y = b.op('Mul', [b.op('Mul', [x, table]), count]);
    const { graph } = await prepareGraph(b.build({ y: [y, ['n', 4]] }), 'built');
    const left = graph.nodes.map(({ opType }) => opType);
    expect(left).not.toContain('Tanh');
    expect(left.filter((opType) => opType === 'Mul')).toHaveLength(2);
    expect(left).toContain('Shape');
    expect(graph.initializers.get(table)?.dims).toEqual([1, 4]);
  });

  test('indices are not folded just because two runs agreed', async () => {
    const b = new GraphBuilder();
    const ids = b.input('ids', ['n', 'm'], 'int64');
    const mask = b.op('Cast', [ids], { to: 1 });
    const y = b.op('Mul', [mask, b.scalar(2)]);
    const { graph } = await prepareGraph(b.build({ y: [y, ['n', 'm']] }), 'built');
    expect(graph.nodes.map(({ opType }) => opType)).toEqual(['Cast', 'Mul', 'Identity']);
  });

  test("a model that runs at no size is refused with onnxruntime's reason", async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 4]);
    const graph = b.build({ y: [b.op('Reshape', [x, b.ints(5, 5)]), [5, 5]] });
    await expect(prepareGraph(graph, 'odd.onnx')).rejects.toMatchObject({
      code: 'bad-model',
      message: expect.stringMatching(/^odd\.onnx does not run on random inputs/),
    });
  });

  test('a slice to the end of a free axis stays one, and two lengths that only the file knows stay two', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 'm', 6]);
    const rest = b.slice(x, 1, 1, 2 ** 63);
    const flat = b.op('Reshape', [rest, b.ints(-1, 6)]);
    const batch = b.op('Slice', [b.op('Shape', [x]), b.ints(0), b.ints(1), b.ints(0)]);
    const y = b.op('Reshape', [flat, b.op('Concat', [batch, b.ints(-1, 2, 3)], { axis: 0 })]);
    await expect(prepareGraph(b.build({ y: [y, ['n', 'k', 2, 3]] }), 'shifted')).resolves.toBeDefined();
  });

  test('a mask that covers cached positions too is found to be longer, though every free length has its own name', async () => {
    const b = new GraphBuilder();
    const ids = b.input('ids', ['n', 's1'], 'int64');
    const mask = b.input('mask', ['n', 's2'], 'int64');
    const past = b.input('past', ['n', 2, 's3', 4]);
    const x = b.op(
      'Transpose',
      [b.op('Reshape', [b.op('Gather', [b.weight(9, 8), ids]), b.ints(0, 0, 2, 4)])],
      {
        perm: [0, 2, 1, 3],
      },
    );
    const keys = b.op('Concat', [past, x], { axis: 2 });
    const open = b.op('Unsqueeze', [b.op('Cast', [mask], { to: 1 }), b.ints(1, 3)]);
    const graph = b.build({ y: [b.op('Mul', [keys, open]), ['n', 2, 's4', 4]] });
    const { sizes } = await prepareGraph(graph, 'cached');
    expect(sizes).toContainEqual({ batch: 2, length: 7, cached: true });
  });

  test('an image whose axes are all left open gets the channels of the weights, and the side that positions leave', async () => {
    const b = new GraphBuilder();
    const pixels = b.input('pixels', ['n', 'channels', 'height', 'width']);
    const patches = b.op('Conv', [b.op('Sub', [pixels, b.scalar(0.5)]), b.weight(8, 3, 4, 4)], {
      strides: [4, 4],
      kernel_shape: [4, 4],
    });
    const tokens = b.op('Transpose', [b.op('Reshape', [patches, b.ints(0, 8, -1)])], { perm: [0, 2, 1] });
    const placed = b.op('Add', [tokens, b.weight(1, 25, 8)]);
    const graph = b.build({ y: [b.linear(placed, b.weight(8, 5)), ['n', 'tokens', 5]] });
    const { sizes, traces, graph: prepared } = await prepareGraph(graph, 'vit.onnx');
    expect(prepared.inputs[0]?.dims).toEqual(['n', 3, 20, 20]);
    expect(sizes.map(({ side }) => side)).toEqual([20, 20, 20]);
    expect(traces.map(({ dims }) => dims.get('pixels'))).toEqual([
      [2, 3, 20, 20],
      [3, 3, 20, 20],
      [1, 3, 20, 20],
    ]);
  });

  test('a model that draws random numbers is refused by name', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 4]);
    const graph = b.build({ y: [b.op('Add', [x, b.op('RandomNormalLike', [x])]), ['n', 4]] });
    await expect(prepareGraph(graph, 'noisy.onnx')).rejects.toMatchObject({
      code: 'bad-model',
      message: expect.stringMatching(/^noisy\.onnx: node RandomNormalLike_\d+ .* draws random numbers/),
    });
  });

  test('an operator that nobody knows is named with its node and opset', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['batch', 4]);
    const graph = b.build({ y: [b.op('Relu', [x]), ['batch', 4]] });
    const strange = {
      ...graph,
      opsets: { ...graph.opsets, 'my.domain': 3 },
      nodes: graph.nodes.map((node) => ({ ...node, opType: 'Weird', domain: 'my.domain', name: 'middle' })),
    };
    await expect(prepareGraph(strange, 'odd.onnx')).rejects.toMatchObject({
      code: 'unsupported-op',
      message: expect.stringContaining('my.domain.Weird (opset 3) at middle'),
    });
  });

  test('padding to a window, equal at many lengths, is not taken for a constant', async () => {
    const b = new GraphBuilder();
    const x = b.input('x', ['n', 'm', 6]);
    const length = b.op('Gather', [b.op('Shape', [x]), index(b, 1n)]);
    const missing = b.op('Mod', [
      b.op('Sub', [index(b, 5n), b.op('Mod', [length, index(b, 5n)])]),
      index(b, 5n),
    ]);
    const pads = b.op('Concat', [b.ints(0, 0, 0, 0), b.op('Unsqueeze', [missing, b.ints(0)]), b.ints(0)], {
      axis: 0,
    });
    const graph = b.build({ y: [b.op('Pad', [x, pads]), ['n', 'p', 6]] });
    const prepared = (await prepareGraph(graph, 'padded')).graph;
    expect(prepared.nodes.map(({ opType }) => opType)).toContain('Mod');
  });
});
