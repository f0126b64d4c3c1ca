/** Ways to lay out an MLP, and what must be found in them. */
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import type { Tensor } from '../graph/graph.ts';
import { type Architecture, mlp, model, norm, WIDTH } from './layout-blocks.case.ts';

/** Twice as high and wide. */
const SCALES: Tensor = { dtype: 'float32', dims: [4], data: Float32Array.of(1, 1, 2, 2) };

export const mlpLayouts: readonly Architecture[] = [
  {
    name: 'a gated MLP with gate and up in one matrix',
    graph: () =>
      model((b, x) => {
        const fused = b.linear(x, b.weight(WIDTH, 40), b.weight(40));
        const [gate = '', up = ''] = b.ops('Split', [fused, b.ints(20, 20)], 2, { axis: -1 });
        const open = b.op('Mul', [gate, b.op('Sigmoid', [gate])]);
        return b.linear(b.op('Mul', [open, up]), b.weight(20, WIDTH));
      }),
    pairs: ['gated 1x20'],
  },
  {
    name: 'an MLP with a factor and an offset of its own for each unit',
    graph: () =>
      model((b, x) => {
        const hidden = b.op('Relu', [b.linear(x, b.weight(WIDTH, 32), b.weight(32))]);
        const scaled = b.op('Add', [b.op('Mul', [hidden, b.weight(32)]), b.weight(1, 1, 32)]);
        return b.linear(scaled, b.weight(32, WIDTH));
      }),
    pairs: ['sequential 1x32'],
  },
  {
    name: 'an MLP of pointwise convolutions over channels first',
    graph: () =>
      model((b, x) => {
        const channels = b.op('Transpose', [x], { perm: [0, 2, 1] });
        const hidden = b.op('Gelu', [b.op('Conv', [channels, b.weight(32, WIDTH, 1), b.weight(32)])]);
        const out = b.op('Conv', [hidden, b.weight(WIDTH, 32, 1), b.weight(WIDTH)], { kernel_shape: [1] });
        return b.op('Transpose', [out], { perm: [0, 2, 1] });
      }),
    pairs: ['sequential 1x32'],
  },
  ...[
    { name: 'three by three', window: [3, 3], attributes: { pads: [1, 1, 1, 1] } },
    {
      name: 'with strides and dilation, without bias',
      window: [3, 2],
      attributes: { strides: [2, 1], dilations: [1, 2] },
    },
  ].map(({ name, window, attributes }) => ({
    name: `an MLP with a depthwise convolution of its tokens as an image, ${name}`,
    graph: () => {
      const b = new GraphBuilder();
      const x = b.input('x', ['batch', 64, WIDTH]);
      const hidden = b.linear(norm(b, x), b.weight(WIDTH, 24), b.weight(24));
      const image = b.op('Reshape', [b.op('Transpose', [hidden], { perm: [0, 2, 1] }), b.ints(0, 24, 8, 8)]);
      const bias = 'pads' in attributes ? [b.weight(24)] : [];
      const mixed = b.op('Conv', [image, b.weight(24, 1, ...window), ...bias], { group: 24, ...attributes });
      const slopes = b.op('PRelu', [mixed, b.weight(24, 1, 1)]);
      const tokens = b.op('Transpose', [b.op('Reshape', [slopes, b.ints(0, 24, -1)])], { perm: [0, 2, 1] });
      return b.build({
        y: [b.linear(tokens, b.weight(24, WIDTH), b.weight(WIDTH)), ['batch', 'tokens', WIDTH]],
      });
    },
    pairs: ['sequential 1x24'],
  })),
  {
    name: 'an inverted bottleneck of convolutions with batch normalisations',
    graph: () => {
      const b = new GraphBuilder();
      const x = b.input('x', ['batch', 8, 'height', 'width']);
      const normalised = (value: string, channels: number) =>
        b.op('BatchNormalization', [
          value,
          ...Array.from({ length: 3 }, () => b.weight(channels)),
          b.op('Abs', [b.weight(channels)]),
        ]);
      const open = b.op('HardSwish', [normalised(b.op('Conv', [x, b.weight(20, 8, 1, 1)]), 20)]);
      const mixed = b.op('Conv', [open, b.weight(20, 1, 3, 3)], {
        group: 20,
        pads: [1, 1, 1, 1],
        strides: [2, 2],
      });
      const closed = b.op('Conv', [b.op('Relu', [normalised(mixed, 20)]), b.weight(8, 20, 1, 1)]);
      return b.build({ y: [normalised(closed, 8), ['batch', 8, 'rows', 'columns']] });
    },
    pairs: ['sequential 1x20'],
  },
  {
    name: 'an MLP of values side by side, whose first matrix stays whole',
    graph: () =>
      model((b, x) => {
        const joined = b.op('Concat', [b.linear(x, b.weight(WIDTH, 6)), x], { axis: 2 });
        const hidden = b.op('Relu', [b.linear(joined, b.weight(6 + WIDTH, 20), b.weight(20))]);
        return b.linear(hidden, b.weight(20, WIDTH));
      }),
    pairs: ['sequential 1x20'],
    reason: /joined by Concat/,
  },
  ...(['Resize', 'InstanceNormalization'] as const).map((between) => ({
    name: `pointwise convolutions with ${between} between`,
    graph: () => {
      const b = new GraphBuilder();
      const x = b.input('x', ['batch', 8, 6, 5]);
      const hidden = b.op('Conv', [x, b.weight(20, 8, 1, 1), b.weight(20)]);
      const passed =
        between === 'Resize'
          ? b.op('Resize', [hidden, '', b.constant(SCALES)], { mode: 'linear' })
          : b.op('InstanceNormalization', [hidden, b.weight(20), b.weight(20)]);
      const y = b.op('Conv', [b.op('Relu', [passed]), b.weight(8, 20, 1, 1)]);
      return b.build({ y: [y, ['batch', 8, 'rows', 'columns']] });
    },
    pairs: ['sequential 1x20'],
  })),
  {
    name: 'an inner layer that a spatial convolution mixes, beside an MLP',
    graph: () =>
      model((b, x) => {
        const channels = b.op('Transpose', [x], { perm: [0, 2, 1] });
        const hidden = b.op('Conv', [channels, b.weight(32, WIDTH, 1)]);
        const mixed = b.op('Conv', [hidden, b.weight(WIDTH, 32, 3)], { pads: [1, 1] });
        return b.op('Transpose', [mixed], { perm: [0, 2, 1] });
      }, mlp),
    pairs: ['sequential 1x32'],
    reason: /a convolution is no linear map/,
  },
  {
    name: 'an MLP whose units are gated by their own mean',
    graph: () =>
      model((b, x) => {
        const hidden = b.op('Relu', [b.linear(x, b.weight(WIDTH, 32), b.weight(32))]);
        const pooled = b.op('ReduceMean', [hidden, b.ints(1)]);
        const squeezed = b.op('Relu', [b.linear(pooled, b.weight(32, 8))]);
        const gate = b.op('Sigmoid', [b.linear(squeezed, b.weight(8, 32), b.weight(32))]);
        return b.linear(b.op('Mul', [hidden, gate]), b.weight(32, WIDTH));
      }),
    pairs: ['gated 1x32', 'sequential 1x8'],
  },
  {
    name: 'an MLP whose hidden layer is grouped and ungrouped on the way',
    graph: () =>
      model((b, x) => {
        const hidden = b.linear(x, b.weight(WIDTH, 32), b.weight(32));
        const grouped = b.op('Relu', [b.op('Reshape', [hidden, b.ints(0, 0, 4, 8)])]);
        return b.linear(b.op('Reshape', [grouped, b.ints(0, 0, 32)]), b.weight(32, WIDTH));
      }),
    pairs: ['sequential 1x8'],
  },
  {
    name: 'a hidden layer normalised over its units',
    graph: () =>
      model((b, x) => {
        const hidden = b.op('Gelu', [b.linear(x, b.weight(WIDTH, 32), b.weight(32))]);
        const normed = b.op('LayerNormalization', [hidden, b.weight(32), b.weight(32)], { axis: -1 });
        return b.linear(normed, b.weight(32, WIDTH));
      }),
    pairs: ['sequential 1x32'],
  },
  {
    name: 'a hidden layer scaled by the mean of its units',
    graph: () =>
      model((b, x) => {
        const hidden = b.op('Relu', [b.linear(x, b.weight(WIDTH, 32), b.weight(32))]);
        const mean = b.op('ReduceMean', [hidden, b.ints(-1)], { keepdims: 1 });
        const scaled = b.op('Div', [hidden, b.op('Add', [mean, b.scalar(1)])]);
        return b.linear(scaled, b.weight(32, WIDTH));
      }),
    pairs: ['sequential 1x32'],
  },
  {
    name: 'an MLP with its matrices on the left, over channels first',
    graph: () =>
      model((b, x) => {
        const channels = b.op('Transpose', [x], { perm: [0, 2, 1] });
        const hidden = b.op('Gelu', [b.op('MatMul', [b.weight(32, WIDTH), channels])]);
        return b.op('Transpose', [b.op('MatMul', [b.weight(WIDTH, 32), hidden])], { perm: [0, 2, 1] });
      }),
    pairs: ['sequential 1x32'],
  },
  {
    name: 'an MLP of matrices with leading axes',
    graph: () =>
      model((b, x) => {
        const hidden = b.op('Gelu', [b.op('MatMul', [x, b.weight(1, WIDTH, 32)])]);
        return b.op('MatMul', [hidden, b.weight(1, 32, WIDTH)]);
      }),
    pairs: ['sequential 1x32'],
  },
  {
    name: 'an MLP of Gemm that turns its input and scales its parts',
    graph: () => {
      const b = new GraphBuilder();
      const x = b.input('x', [WIDTH, 'batch']);
      const half = { kind: 'float', value: 0.5 } as const;
      const hidden = b.op('Gemm', [x, b.weight(32, WIDTH), b.weight(1)], {
        transA: 1,
        transB: 1,
        beta: half,
      });
      const out = b.op('Gemm', [b.op('Gelu', [hidden]), b.weight(32, 8), b.weight(8)], { alpha: half });
      return b.build({ y: [out, ['batch', 8]] });
    },
    pairs: ['sequential 1x32'],
  },
  {
    name: 'layers that share a matrix written down once for each',
    graph: () => {
      const b = new GraphBuilder();
      let x = b.input('x', ['batch', 'length', WIDTH]);
      const values = (rows: number, columns: number): Tensor => ({
        dtype: 'float32',
        dims: [rows, columns],
        data: Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i + rows) / 4),
      });
      for (let layer = 0; layer < 2; layer++) {
        const hidden = b.op('Gelu', [b.linear(norm(b, x), b.constant(values(WIDTH, 32)))]);
        x = b.op('Add', [x, b.linear(hidden, b.constant(values(32, WIDTH)))]);
      }
      return b.build({ y: [norm(b, x), ['batch', 'length', WIDTH]] });
    },
    pairs: ['sequential 1x32'],
  },
  {
    name: 'layers that share their matrices',
    graph: () => {
      const b = new GraphBuilder();
      let x = b.input('x', ['batch', 'length', WIDTH]);
      const [up, down, bias] = [b.weight(WIDTH, 32), b.weight(32, WIDTH), b.weight(32)];
      for (let layer = 0; layer < 2; layer++)
        x = b.op('Add', [x, b.linear(b.op('Gelu', [b.linear(norm(b, x), up, bias)]), down)]);
      return b.build({ y: [norm(b, x), ['batch', 'length', WIDTH]] });
    },
    pairs: ['sequential 1x32'],
  },
  {
    name: 'equal biases that the exporter stored once for all layers',
    graph: () => {
      const b = new GraphBuilder();
      let x = b.input('x', ['batch', 'length', WIDTH]);
      const bias = b.weight(WIDTH);
      for (let layer = 0; layer < 2; layer++) {
        const hidden = b.op('Gelu', [b.linear(norm(b, x), b.weight(WIDTH, WIDTH), bias)]);
        x = b.op('Add', [x, b.linear(hidden, b.weight(WIDTH, WIDTH), bias)]);
      }
      return b.build({ y: [norm(b, x), ['batch', 'length', WIDTH]] });
    },
    pairs: ['sequential 1x16', 'sequential 1x16'],
  },
  {
    name: 'a hidden layer that Softmax mixes, beside an MLP',
    graph: () =>
      model((b, x) => {
        const hidden = b.op('Softmax', [b.linear(x, b.weight(WIDTH, 12))], { axis: -1 });
        return b.linear(hidden, b.weight(12, WIDTH));
      }, mlp),
    pairs: ['sequential 1x32'],
    reason: /mixed by Softmax/,
  },
  {
    name: 'an operator that is not followed, beside an MLP',
    graph: () =>
      model((b, x) => {
        const [values = ''] = b.ops('TopK', [b.linear(x, b.weight(WIDTH, 12)), b.ints(12)], 2, { axis: -1 });
        return b.linear(values, b.weight(12, WIDTH));
      }, mlp),
    pairs: ['sequential 1x32'],
    reason: /TopK, which is not followed/,
  },
];
