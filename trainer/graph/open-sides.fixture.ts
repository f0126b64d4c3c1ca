/** Models of images whose sides the file leaves open. */
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import type { Graph } from './graph.ts';

/** Channels behind the convolutions. */
export const WIDTH = 8;

/** Halved four times, taken for tokens, mixed, and laid out as an image again, as recognisers of text do. */
export function halvedFourTimes(pool?: (b: GraphBuilder, x: string) => string): Graph {
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

/** Of lines of text, 48 pixels high: [batch, channels, 3, n] to [batch, channels, 1, n / 2], of which the one row is taken for the only one. */
export function textLines(): Graph {
  return halvedFourTimes((b, x) => {
    const pooled = b.op('AveragePool', [x], { kernel_shape: [3, 2], strides: [3, 2] });
    return b.op('Unsqueeze', [b.op('Squeeze', [pooled, b.ints(2)]), b.ints(2)]);
  });
}
