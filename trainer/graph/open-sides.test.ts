/** Images of which the file leaves the sides open, behind convolutions that shorten them. */
import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { randomSource } from '../search/random.ts';
import { elementCount, type Graph, type Tensor } from './graph.ts';
import { checkEqualOn, prepareGraph } from './prepare.ts';

const WIDTH = 8;

/** Halved four times, taken for tokens, mixed, and laid out as an image again, as recognisers of text do. */
function halvedFourTimes(pool?: (b: GraphBuilder, x: string) => string): Graph {
  const b = new GraphBuilder();
  let x = b.input('x', ['batch', 3, 'height', 'width']);
  for (const channels of [3, WIDTH, WIDTH, WIDTH]) {
    const kernel = b.weight(WIDTH, channels, 3, 3);
    x = b.op('Relu', [b.op('Conv', [x, kernel], { pads: [1, 1, 1, 1], strides: [2, 2] })]);
  }
  x = pool?.(b, x) ?? x;
  const sides = b.slice(b.op('Shape', [x]), 0, 2, 4);
  const tokens = b.op('Transpose', [b.op('Reshape', [x, b.ints(0, WIDTH, -1)])], { perm: [0, 2, 1] });
  const mixed = b.linear(b.op('Relu', [b.linear(tokens, b.weight(WIDTH, 12))]), b.weight(12, WIDTH));
  const turned = b.op('Transpose', [mixed], { perm: [0, 2, 1] });
  const shape = b.op('Concat', [b.ints(0, WIDTH), sides], { axis: 0 });
  return b.build({ y: [b.op('Reshape', [turned, shape]), ['batch', WIDTH, 'rows', 'columns']] });
}

function image(height: number, width: number): { x: Tensor } {
  const dims = [1, 3, height, width];
  const random = randomSource(3, 1, 0);
  return {
    x: {
      dtype: 'float32',
      dims,
      data: Float32Array.from({ length: elementCount(dims) }, () => random.uniform()),
    },
  };
}

const plainly = { source: 'built', first: <T>(run: () => Promise<T>) => run() };

describe('sides that the file leaves open', () => {
  test('are not taken for fixed where small ones all come to a pixel', async () => {
    const original = halvedFourTimes();
    const { graph } = await prepareGraph(original, 'built');
    await checkEqualOn(image(80, 144), original, graph, plainly);
  });

  test('of lines of text: one height, any width', async () => {
    // [batch, channels, 3, n] to [batch, channels, 1, n / 2], of which the one row is then taken for the only one.
    const original = halvedFourTimes((b, x) => {
      const pooled = b.op('AveragePool', [x], { kernel_shape: [3, 2], strides: [3, 2] });
      return b.op('Unsqueeze', [b.op('Squeeze', [pooled, b.ints(2)]), b.ints(2)]);
    });
    const { graph, sizes } = await prepareGraph(original, 'built');
    expect(sizes.map(({ height }) => height)).toEqual([48, 48, 48]);
    await checkEqualOn(image(48, 352), original, graph, plainly);
  });

  test('of an example whose answers are next to nothing, rounding is no difference', async () => {
    const chances = (bias: number) => {
      const b = new GraphBuilder();
      const x = b.input('x', ['batch', 3, 'height', 'width']);
      const raised = b.op('Add', [b.op('Mul', [x, b.scalar(0.1)]), b.scalar(bias)]);
      return b.build({ y: [b.op('Sigmoid', [raised]), ['batch', 3, 'height', 'width']] });
    };
    await checkEqualOn(image(8, 8), chances(-14), chances(-14.01), plainly);
    await expect(checkEqualOn(image(8, 8), chances(-4), chances(-4.01), plainly)).rejects.toThrow('differs');
  });

  test('a graph that was prepared for other sizes is refused for those of the data', async () => {
    const original = halvedFourTimes();
    const b = new GraphBuilder();
    const x = b.input('x', ['batch', 3, 'height', 'width']);
    const other = b.build({ y: [b.op('Reshape', [x, b.ints(0, WIDTH, 6, 16)]), ['batch', WIDTH, 6, 16]] });
    await expect(checkEqualOn(image(48, 352), original, other, plainly)).rejects.toThrow(
      "built could not be simplified for examples of the data's size",
    );
    const doubled = [...original.initializers].map(([name, tensor]): [string, Tensor] =>
      tensor.dims.length === 2
        ? [name, { ...tensor, data: (tensor.data as Float32Array).map((value) => 2 * value) }]
        : [name, tensor],
    );
    const wrong = { ...original, initializers: new Map(doubled) };
    await expect(checkEqualOn(image(48, 352), original, wrong, plainly)).rejects.toThrow('then differs by');
  });
});
