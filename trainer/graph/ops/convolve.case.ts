/** Cases of convolutions and transposed convolutions. */
import fc from 'fast-check';
import { floats, int, ints, type OpCase, text, vector } from './one-node.case.ts';

const conv = (
  name: string,
  attributes: OpCase['attributes'],
  x: number[],
  w: number[],
  bias: boolean,
  differentiate: number[] = [0, 1],
): OpCase => ({
  name,
  opType: 'Conv',
  ...(attributes ? { attributes } : {}),
  inputs: bias ? fc.tuple(floats(x), floats(w), floats([w[0] as number])) : fc.tuple(floats(x), floats(w)),
  differentiate,
});

/** A filter [C, O / groups, ...], always with a bias. */
const turned = (
  name: string,
  attributes: OpCase['attributes'],
  x: number[],
  w: number[],
  groups = 1,
): OpCase => ({
  name: `ConvTranspose${name}`,
  opType: 'ConvTranspose',
  attributes: { ...attributes, group: int(groups) },
  inputs: fc.tuple(floats(x), floats(w), floats([(w[1] as number) * groups])),
  differentiate: [0, 1, 2],
});

export const convolutionCases: readonly OpCase[] = [
  conv('Conv into patches', { strides: ints(4, 4) }, [2, 2, 8, 4], [3, 2, 4, 4], true, [0, 1, 2]),
  conv('Conv into patches with a rest', { strides: ints(3, 3) }, [1, 2, 8, 10], [4, 2, 3, 3], false),
  conv(
    'Conv, padded and strided',
    { strides: ints(2, 1), pads: ints(1, 0, 2, 1) },
    [2, 3, 7, 6],
    [4, 3, 3, 3],
    true,
  ),
  conv(
    'Conv, same size',
    { auto_pad: text('SAME_UPPER'), strides: ints(2, 2) },
    [1, 2, 7, 6],
    [4, 2, 3, 3],
    true,
  ),
  conv('Conv, same size, more before', { auto_pad: text('SAME_LOWER') }, [1, 2, 5, 4], [3, 2, 2, 3], false),
  conv('Conv, dilated', { dilations: ints(2, 2) }, [1, 2, 9, 9], [3, 2, 3, 3], false),
  conv('Conv, depthwise', { group: int(4), pads: ints(1, 1, 1, 1) }, [2, 4, 5, 5], [4, 1, 3, 3], true),
  conv('Conv, grouped', { group: int(2) }, [2, 4, 5, 5], [6, 2, 3, 3], true),
  conv('Conv of one dimension', { strides: ints(2), pads: ints(1, 1) }, [2, 3, 9], [4, 3, 3], true),
  conv(
    'Conv of three dimensions',
    { strides: ints(2, 1, 2), pads: ints(1, 0, 1, 0, 1, 1) },
    [2, 2, 5, 4, 5],
    [3, 2, 3, 2, 2],
    true,
  ),
  conv(
    'Conv of three dimensions into patches',
    { strides: ints(2, 2, 2) },
    [1, 2, 4, 4, 2],
    [3, 2, 2, 2, 2],
    false,
  ),
  turned(
    '',
    { strides: ints(2, 2), pads: ints(1, 0, 0, 1), output_padding: ints(1, 0) },
    [2, 3, 4, 3],
    [3, 2, 3, 3],
  ),
  turned(' of patches', { strides: ints(2, 2) }, [2, 2, 3, 4], [2, 3, 2, 2]),
  turned(
    ', grouped and dilated',
    { strides: ints(1, 2), dilations: ints(2, 1) },
    [1, 4, 3, 3],
    [4, 2, 2, 3],
    2,
  ),
  turned(' of one dimension', { strides: ints(3), pads: ints(2, 1) }, [2, 2, 4], [2, 3, 4]),
  turned(' of three dimensions', { strides: ints(2, 1, 1) }, [1, 2, 2, 3, 2], [2, 2, 2, 2, 1]),
  turned(' to a shape', { strides: ints(2, 2), output_shape: ints(6, 8) }, [1, 2, 3, 4], [2, 2, 3, 3]),
  turned(
    ', as many times the size',
    { strides: ints(2, 2), auto_pad: text('SAME_UPPER') },
    [1, 2, 3, 3],
    [2, 2, 3, 3],
  ),
  {
    name: 'Col2Im',
    opType: 'Col2Im',
    opset: 18,
    attributes: { strides: ints(2, 1), pads: ints(1, 0, 0, 1) },
    // [2, 3] blocks at 3 x 4 places.
    inputs: floats([2, 3 * 6, 12]).map((x) => [x, vector(5, 5), vector(2, 3)]),
    differentiate: [0],
  },
];
