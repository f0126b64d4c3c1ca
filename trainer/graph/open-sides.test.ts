/** Images of which the file leaves the sides open, behind convolutions that shorten them. */
import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { randomSource } from '../search/random.ts';
import { elementCount, type Tensor } from './graph.ts';
import { halvedFourTimes, textLines, WIDTH } from './open-sides.fixture.ts';
import { checkEqualOn, prepareGraph } from './prepare.ts';

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
    const original = textLines();
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
