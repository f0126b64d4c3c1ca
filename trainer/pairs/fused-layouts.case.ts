/** Blocks as optimisers and newer opsets write them, fused; the pairs are those of the plain blocks. */
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import {
  type Architecture,
  ATTENTION,
  angles,
  attend,
  type Block,
  HEAD,
  HEADS,
  heads,
  INNER,
  model,
  modelOf,
  norm,
  project,
  threeHeads,
  WIDTH,
} from './layout-blocks.case.ts';

/** Of ONNX's own Attention. */
const OPSET = 23;
const FEW = 2;

const map = (b: GraphBuilder, x: string, width: number) =>
  b.linear(x, b.weight(WIDTH, width), b.weight(width));
const out = (b: GraphBuilder, x: string) => b.linear(x, b.weight(INNER, WIDTH), b.weight(WIDTH));

/** Queries, keys and values [B, S, H·D] through ONNX's Attention with grouped heads and rotation in front. */
const grouped: Block = (b, x) => {
  const [q, k, v] = [map(b, x, INNER), map(b, x, FEW * HEAD), map(b, x, FEW * HEAD)];
  const positions = b.op('CumSum', [ones(b, x), b.constant(zero)]);
  const [cos, sin] = [b.weight(64, HEAD / 2), b.weight(64, HEAD / 2)];
  const batch = b.op('Expand', [positions, b.op('Slice', [b.op('Shape', [x]), b.ints(0), b.ints(2)])]);
  const turn = (value: string, heads: number) =>
    b.op('RotaryEmbedding', [value, cos, sin, batch], { num_heads: heads });
  const mixed = b.op('Attention', [turn(q, HEADS), turn(k, FEW), v], {
    q_num_heads: HEADS,
    kv_num_heads: FEW,
    is_causal: 1,
  });
  return out(b, mixed);
};

const zero = { dtype: 'int64', dims: [], data: BigInt64Array.of(0n) } as const;

/** As many ones as x has places. */
function ones(b: GraphBuilder, x: string): string {
  const length = b.op('Slice', [b.op('Shape', [x]), b.ints(1), b.ints(2)]);
  return b.op('Expand', [b.ints(1), length]);
}

export const fusedLayouts: readonly Architecture[] = [
  {
    name: "onnxruntime's Attention with one packed matrix",
    graph: () =>
      model((b, x) =>
        out(
          b,
          b.op('com.microsoft.Attention', [x, b.weight(WIDTH, 3 * INNER), b.weight(3 * INNER)], {
            num_heads: HEADS,
            unidirectional: 1,
          }),
        ),
      ),
    pairs: ATTENTION,
  },
  {
    name: "onnxruntime's MultiHeadAttention with a common bias",
    graph: () =>
      model((b, x) => {
        const [q, k, v] = [0, 1, 2].map(() => b.linear(x, b.weight(WIDTH, INNER)));
        const inputs = [q, k, v, b.weight(3 * INNER)] as string[];
        return out(b, b.op('com.microsoft.MultiHeadAttention', inputs, { num_heads: HEADS }));
      }),
    pairs: ATTENTION,
  },
  {
    name: "ONNX's Attention of four axes",
    graph: () =>
      modelOf(OPSET, (b, x) => {
        const heads = () =>
          b.op('Transpose', [b.op('Reshape', [map(b, x, INNER), b.ints(0, 0, HEADS, HEAD)])], {
            perm: [0, 2, 1, 3],
          });
        return project(b, b.op('Attention', [heads(), heads(), heads()], { is_causal: 1 }));
      }),
    pairs: ATTENTION,
  },
  {
    name: "ONNX's Attention with grouped heads behind RotaryEmbedding",
    graph: () => modelOf(OPSET, grouped),
    pairs: [`query-key 4/2x${HEAD / 2}`, `value-projection 4/2x${HEAD}`],
  },
  {
    name: 'RotaryEmbedding of two layers by one table for all examples, which onnxruntime runs one example at a time',
    graph: () => {
      const b = new GraphBuilder();
      let x = b.input('x', ['batch', 'length', WIDTH]);
      const once = b.op('Unsqueeze', [angles(b, x, HEAD / 2), b.ints(0)]);
      const [cos, sin] = [b.op('Cos', [once]), b.op('Sin', [once])];
      for (let layer = 0; layer < 2; layer++) {
        const [q, k, v] = threeHeads(b, norm(b, x));
        const turn = (value: string) => b.op('RotaryEmbedding', [value, cos, sin], { num_heads: HEADS });
        x = b.op('Add', [x, project(b, b.op('Attention', [turn(q), turn(k), v]))]);
      }
      return b.build({ y: [norm(b, x), ['batch', 'length', WIDTH]] }, OPSET);
    },
    pairs: [0, 1].flatMap(() => [`query-key 4x${HEAD / 2}`, ATTENTION[1] as string]),
  },
  {
    name: 'residual sums fused into normalisations, bias into gelu, a product turned by flag',
    graph: () => {
      const b = new GraphBuilder();
      const x = b.input('x', ['batch', 'length', WIDTH]);
      const hidden = b.op('com.microsoft.BiasGelu', [
        b.linear(norm(b, x), b.weight(WIDTH, 32)),
        b.weight(32),
      ]);
      const back = b.op('com.microsoft.FusedMatMul', [hidden, b.weight(WIDTH, 32)], { transB: 1 });
      const scale = [b.weight(WIDTH), b.weight(WIDTH), b.weight(WIDTH)];
      const [y = ''] = b.ops('com.microsoft.SkipLayerNormalization', [x, back, ...scale], 1);
      return b.build({ y: [y, ['batch', 'length', WIDTH]] });
    },
    pairs: ['sequential 1x32'],
  },
  {
    name: 'Einsum for projections into heads, scores, mix and projection out of heads',
    graph: () =>
      model((b, x) => {
        const times = (equation: string, ...inputs: string[]) => b.op('Einsum', inputs, { equation });
        const into = () => times('btd,dhk->bthk', x, b.weight(WIDTH, HEADS, HEAD));
        const scores = times('bqhk,bthk->bhqt', into(), into());
        const weights = b.op('Softmax', [scores], { axis: -1 });
        const mixed = times('bhqt,bthk->bqhk', weights, into());
        return times('bqhk,hkd->bqd', mixed, b.weight(HEADS, HEAD, WIDTH));
      }),
    pairs: ATTENTION,
  },
  {
    name: 'queries, keys and values of one matrix that are clipped together, each channel within bounds and in units of its own',
    graph: () =>
      model((b, x) => {
        const fused = b.linear(x, b.weight(WIDTH, 3 * INNER), b.weight(3 * INNER));
        const inUnits = b.op('Mul', [fused, b.weight(3 * INNER)]);
        const clipped = b.op('Clip', [inUnits, b.scalar(-0.7), b.scalar(0.7)]);
        const parts = b.ops('Split', [clipped, b.ints(INNER, INNER, INNER)], 3, { axis: -1 });
        const [q = '', k = '', v = ''] = parts.map((part) => heads(b, part, HEADS, HEAD));
        return attend(b, q, k, v);
      }),
    pairs: ATTENTION,
  },
  {
    name: 'queries, keys and values that pass an activation which reads the fused matrix twice, head by head',
    graph: () =>
      model((b, x) => {
        const fused = b.linear(x, b.weight(WIDTH, 3 * INNER), b.weight(3 * INNER));
        const apart = b.op('Reshape', [fused, b.ints(0, 0, HEADS, 3 * HEAD)]);
        const active = b.op('Mul', [apart, b.op('Sigmoid', [apart])]);
        const parts = b.ops('Split', [active, b.ints(HEAD, HEAD, HEAD)], 3, { axis: -1 });
        const [q = '', k = '', v = ''] = parts.map((part) =>
          b.op('Transpose', [part], { perm: [0, 2, 1, 3] }),
        );
        return attend(b, q, k, v);
      }),
    pairs: ATTENTION,
  },
];
