/**
 * Ways in which architectures lay out the same few ideas, as small graphs with random weights, and what must be found in them.
 * x [batch, length, 16] goes through a norm, the block and a residual sum, so that the model width itself is never cut.
 */
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import type { Graph } from '../graph/graph.ts';

export interface Architecture {
  readonly name: string;
  readonly graph: () => Graph;
  /** `kind heads[/kvHeads] x units`, in order. */
  readonly pairs: readonly string[];
  /** Must occur among the reasons of what is left alone. */
  readonly reason?: RegExp;
}

const WIDTH = 16;
const HEADS = 4;
const HEAD = 6;
const INNER = HEADS * HEAD;

type Block = (b: GraphBuilder, x: string) => string;

/** The blocks one after the other, each behind a norm and inside a residual sum. */
function model(...blocks: Block[]): Graph {
  const b = new GraphBuilder();
  let x = b.input('x', ['batch', 'length', WIDTH]);
  for (const block of blocks) x = b.op('Add', [x, block(b, norm(b, x))]);
  return b.build({ y: [norm(b, x), ['batch', 'length', WIDTH]] });
}

function norm(b: GraphBuilder, x: string): string {
  return b.op('LayerNormalization', [x, b.weight(WIDTH), b.weight(WIDTH)], { axis: -1 });
}

/** [batch, length, heads * size] to [batch, heads, length, size]. */
function heads(b: GraphBuilder, x: string, count: number, size: number): string {
  return b.op('Transpose', [b.op('Reshape', [x, b.ints(0, 0, count, size)])], { perm: [0, 2, 1, 3] });
}

/** Scores, Softmax, mix and output projection of heads [batch, heads, length, size]. */
function attend(b: GraphBuilder, q: string, k: string, v: string, size = HEAD): string {
  const scores = b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
  return project(b, b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), v]), size);
}

function project(b: GraphBuilder, mixed: string, size = HEAD): string {
  const rows = b.op('Transpose', [mixed], { perm: [0, 2, 1, 3] });
  const joined = b.op('Reshape', [rows, b.ints(0, 0, HEADS * size)]);
  return b.linear(joined, b.weight(HEADS * size, WIDTH), b.weight(WIDTH));
}

function threeHeads(b: GraphBuilder, x: string): [string, string, string] {
  const make = () => heads(b, b.linear(x, b.weight(WIDTH, INNER), b.weight(INNER)), HEADS, HEAD);
  return [make(), make(), make()];
}

/** Positions 0, 1, ... as angles [length, size]. */
function angles(b: GraphBuilder, x: string, size: number): string {
  const length = b.op('Gather', [
    b.op('Shape', [x]),
    b.constant({ dtype: 'int64', dims: [], data: BigInt64Array.of(1n) }),
  ]);
  const zero = b.constant({ dtype: 'int64', dims: [], data: BigInt64Array.of(0n) });
  const one = b.constant({ dtype: 'int64', dims: [], data: BigInt64Array.of(1n) });
  const positions = b.op('Cast', [b.op('Range', [zero, length, one])], { to: 1 });
  return b.op('Mul', [b.op('Unsqueeze', [positions, b.ints(1)]), b.weight(size)]);
}

/** x cos + rotateHalf(x) sin with tables [length, size]. */
function rotateHalves(b: GraphBuilder, x: string, cos: string, sin: string, size: number): string {
  const [first, second] = [b.slice(x, 3, 0, size / 2), b.slice(x, 3, size / 2, 2 ** 53)];
  const turned = b.op('Concat', [b.op('Neg', [second]), first], { axis: -1 });
  return b.op('Add', [b.op('Mul', [x, cos]), b.op('Mul', [turned, sin])]);
}

function tables(b: GraphBuilder, x: string, half: number): [string, string] {
  const once = angles(b, x, half);
  const twice = b.op('Concat', [once, once], { axis: -1 });
  return [b.op('Cos', [twice]), b.op('Sin', [twice])];
}

const ATTENTION = [`query-key 4x${HEAD}`, `value-projection 4x${HEAD}`];

function mlp(b: GraphBuilder, x: string): string {
  const hidden = b.op('Gelu', [b.linear(x, b.weight(WIDTH, 32), b.weight(32))]);
  return b.linear(hidden, b.weight(32, WIDTH), b.weight(WIDTH));
}

export const architectures: readonly Architecture[] = [
  {
    name: 'separate projections and an MLP',
    graph: () => model((b, x) => attend(b, ...threeHeads(b, x)), mlp),
    pairs: [...ATTENTION, 'sequential 1x32'],
  },
  {
    name: 'query, key and value fused head by head, split along the head size',
    graph: () =>
      model((b, x) => {
        const fused = b.linear(x, b.weight(WIDTH, 3 * INNER), b.weight(3 * INNER));
        const rows = b.op('Reshape', [fused, b.ints(0, 0, HEADS, 3 * HEAD)]);
        const parts = b.ops('Split', [rows, b.ints(HEAD, HEAD, HEAD)], 3, { axis: -1 });
        const [q = '', k = '', v = ''] = parts.map((part) =>
          b.op('Transpose', [part], { perm: [0, 2, 1, 3] }),
        );
        return attend(b, q, k, v);
      }),
    pairs: ATTENTION,
  },
  {
    name: 'one key-value head, split off a fused matrix in unequal parts',
    graph: () =>
      model((b, x) => {
        const fused = b.linear(x, b.weight(WIDTH, INNER + 2 * HEAD), b.weight(INNER + 2 * HEAD));
        const [q = '', k = '', v = ''] = b.ops('Split', [fused, b.ints(INNER, HEAD, HEAD)], 3, { axis: -1 });
        return attend(b, heads(b, q, HEADS, HEAD), heads(b, k, 1, HEAD), heads(b, v, 1, HEAD));
      }),
    pairs: [`query-key 4/1x${HEAD}`, `value-projection 4/1x${HEAD}`],
  },
  {
    name: 'two key-value heads, repeated by Expand',
    graph: () =>
      model((b, x) => {
        const few = () => {
          const made = heads(b, b.linear(x, b.weight(WIDTH, 2 * HEAD)), 2, HEAD);
          const spread = b.op('Expand', [b.op('Unsqueeze', [made, b.ints(2)]), b.ints(1, 1, 2, 1, 1)]);
          return b.op('Reshape', [spread, b.ints(0, HEADS, -1, HEAD)]);
        };
        return attend(b, heads(b, b.linear(x, b.weight(WIDTH, INNER)), HEADS, HEAD), few(), few());
      }),
    pairs: [`query-key 4/2x${HEAD}`, `value-projection 4/2x${HEAD}`],
  },
  {
    name: 'rotary positions by halves, one table for two layers',
    graph: () => {
      const b = new GraphBuilder();
      let x = b.input('x', ['batch', 'length', WIDTH]);
      const [cos, sin] = tables(b, x, HEAD / 2);
      for (let layer = 0; layer < 2; layer++) {
        const [q, k, v] = threeHeads(b, norm(b, x));
        const turn = (value: string) => rotateHalves(b, value, cos, sin, HEAD);
        x = b.op('Add', [x, attend(b, turn(q), turn(k), v)]);
      }
      return b.build({ y: [norm(b, x), ['batch', 'length', WIDTH]] });
    },
    pairs: [
      `query-key 4x${HEAD / 2}`,
      ATTENTION[1] as string,
      `query-key 4x${HEAD / 2}`,
      ATTENTION[1] as string,
    ],
  },
  {
    name: 'rotary positions of neighbours, sliced by two and stacked again',
    graph: () =>
      model((b, x) => {
        const once = angles(b, x, HEAD / 2);
        const [cos, sin] = [b.op('Cos', [once]), b.op('Sin', [once])];
        const [q, k, v] = threeHeads(b, x);
        const turn = (value: string) => {
          const [even, odd] = [b.slice(value, 3, 0, 2 ** 53, 2), b.slice(value, 3, 1, 2 ** 53, 2)];
          const times = (l: string, r: string) => b.op('Mul', [l, r]);
          const parts = [
            b.op('Sub', [times(even, cos), times(odd, sin)]),
            b.op('Add', [times(even, sin), times(odd, cos)]),
          ].map((part) => b.op('Unsqueeze', [part, b.ints(4)]));
          return b.op('Reshape', [b.op('Concat', parts, { axis: 4 }), b.ints(0, HEADS, -1, HEAD)]);
        };
        return attend(b, turn(q), turn(k), v);
      }),
    pairs: [`query-key 4x${HEAD / 2}`, ATTENTION[1] as string],
  },
  {
    name: 'rotary positions on a part of the head: units are coupled over the whole head',
    graph: () =>
      model((b, x) => {
        const [cos, sin] = tables(b, x, 2);
        const make = () => heads(b, b.linear(x, b.weight(WIDTH, HEADS * 8), b.weight(HEADS * 8)), HEADS, 8);
        const turn = (value: string) => {
          const [turned, rest] = [b.slice(value, 3, 0, 4), b.slice(value, 3, 4, 8)];
          return b.op('Concat', [rotateHalves(b, turned, cos, sin, 4), rest], { axis: -1 });
        };
        const [q, k, v] = [make(), make(), make()];
        return attend(b, turn(q), turn(k), v, 8);
      }),
    pairs: ['query-key 4x2', 'value-projection 4x8'],
  },
  {
    name: 'queries and keys normalised per head',
    graph: () =>
      model((b, x) => {
        const [q, k, v] = threeHeads(b, x);
        const normed = (value: string) => b.op('LayerNormalization', [value, b.weight(HEAD)], { axis: -1 });
        return attend(b, normed(q), normed(k), v);
      }),
    pairs: [ATTENTION[1] as string],
    reason: /normalised over by LayerNormalization/,
  },
  {
    name: 'heads merged into the batch, scaled queries, scores biased by a table',
    graph: () =>
      model((b, x) => {
        const merged = (value: string) => b.op('Reshape', [value, b.ints(-1, 7, HEAD)]);
        const [q, k, v] = threeHeads(b, b.slice(x, 1, 0, 7)).map(merged) as [string, string, string];
        const scaled = b.op('Mul', [q, b.scalar(0.4)]);
        const scores = b.op('MatMul', [scaled, b.op('Transpose', [k], { perm: [0, 2, 1] })]);
        const biased = b.op('Add', [scores, b.weight(7, 7)]);
        const mixed = b.op('MatMul', [b.op('Softmax', [biased], { axis: -1 }), v]);
        const pooled = project(b, b.op('Reshape', [mixed, b.ints(-1, HEADS, 7, HEAD)]));
        return b.op('ReduceMean', [pooled, b.ints(1)], { keepdims: 1 });
      }),
    pairs: ATTENTION,
  },
  {
    name: 'products written as Einsum',
    graph: () =>
      model((b, x) => {
        const make = () => b.op('Reshape', [b.linear(x, b.weight(WIDTH, INNER)), b.ints(0, 0, HEADS, HEAD)]);
        const scores = b.op('Einsum', [make(), make()], { equation: 'bqhd,bkhd->bhqk' });
        const mixed = b.op('Einsum', [b.op('Softmax', [scores], { axis: -1 }), make()], {
          equation: 'bhqk,bkhd->bqhd',
        });
        return b.linear(b.op('Reshape', [mixed, b.ints(0, 0, INNER)]), b.weight(INNER, WIDTH));
      }),
    pairs: ATTENTION,
  },
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
    name: 'all sizes fixed, batch 1',
    graph: () => {
      const graph = model((b, x) => attend(b, ...threeHeads(b, x)), mlp);
      const fix = (info: Graph['inputs'][number]) => ({ ...info, dims: [1, 7, WIDTH] });
      return { ...graph, inputs: graph.inputs.map(fix), outputs: graph.outputs.map(fix) };
    },
    pairs: [...ATTENTION, 'sequential 1x32'],
  },
  {
    name: 'lengths that coincide with heads, head size and width',
    graph: () => {
      const graph = model((b, x) => attend(b, ...threeHeads(b, x)), mlp);
      const fix = (info: Graph['inputs'][number]) => ({ ...info, dims: [HEADS, WIDTH, WIDTH] });
      return { ...graph, inputs: graph.inputs.map(fix), outputs: graph.outputs.map(fix) };
    },
    pairs: [...ATTENTION, 'sequential 1x32'],
  },
  {
    name: 'keys and values of earlier positions as inputs: only the MLP can be cut',
    graph: () => {
      const b = new GraphBuilder();
      const x = b.input('x', ['batch', 'length', WIDTH]);
      const past = (name: string) => b.input(name, ['batch', HEADS, 'past_length', HEAD]);
      const [q, k, v] = threeHeads(b, norm(b, x));
      const keys = b.op('Concat', [past('past.key'), k], { axis: 2 });
      const values = b.op('Concat', [past('past.value'), v], { axis: 2 });
      const mask = b.input('mask', ['batch', 1, 1, 'past_length + length']);
      const scores = b.op('MatMul', [q, b.op('Transpose', [keys], { perm: [0, 1, 3, 2] })]);
      const weights = b.op('Softmax', [b.op('Add', [scores, mask])], { axis: -1 });
      const y = b.op('Add', [x, project(b, b.op('MatMul', [weights, values]))]);
      const z = norm(b, b.op('Add', [y, mlp(b, norm(b, y))]));
      return b.build({
        z: [z, ['batch', 'length', WIDTH]],
        'present.key': [keys, ['batch', HEADS, 'total', HEAD]],
        'present.value': [values, ['batch', HEADS, 'total', HEAD]],
      });
    },
    pairs: ['sequential 1x32'],
    reason: /comes from the input past/,
  },
  {
    name: 'heads that talk: linears over the heads before and after Softmax',
    graph: () =>
      model((b, x) => {
        const [q, k, v] = threeHeads(b, x);
        const talk = (scores: string) => {
          const last = b.op('Transpose', [scores], { perm: [0, 2, 3, 1] });
          const mixed = b.linear(last, b.weight(HEADS, HEADS), b.weight(HEADS));
          return b.op('Transpose', [mixed], { perm: [0, 3, 1, 2] });
        };
        const scores = talk(b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })]));
        return project(b, b.op('MatMul', [talk(b.op('Softmax', [scores], { axis: -1 })), v]));
      }),
    pairs: ATTENTION,
  },
  {
    name: 'content and position scores of the same queries and keys',
    graph: () =>
      model((b, x) => {
        const few = b.slice(x, 1, 0, 7);
        const [wq, wk, wv] = [b.weight(WIDTH, INNER), b.weight(WIDTH, INNER), b.weight(WIDTH, INNER)];
        const make = (from: string, weight: string) => heads(b, b.linear(from, weight), HEADS, HEAD);
        const [q, k, v] = [make(few, wq), make(few, wk), make(few, wv)];
        const positions = b.op('Tanh', [
          b.op('Mul', [b.op('ReduceMean', [x, b.ints(1)]), b.weight(1, 7, WIDTH)]),
        ]);
        const dot = (left: string, right: string) =>
          b.op('MatMul', [left, b.op('Transpose', [right], { perm: [0, 1, 3, 2] })]);
        const toKey = b.op('Transpose', [dot(k, make(positions, wq))], { perm: [0, 1, 3, 2] });
        const scores = b.op('Sum', [dot(q, k), dot(q, make(positions, wk)), toKey]);
        const mixed = b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), v]);
        return b.op('ReduceMean', [project(b, mixed), b.ints(1)]);
      }),
    pairs: ATTENTION,
  },
  {
    name: 'packed attention, length first, heads merged into the batch',
    graph: () =>
      model((b, x) => {
        const rows = b.op('Transpose', [x], { perm: [1, 0, 2] });
        const fused = b.linear(rows, b.weight(WIDTH, 3 * INNER), b.weight(3 * INNER));
        const parts = b.op('Reshape', [fused, b.ints(0, 0, 3, INNER)]);
        const moved = b.op('Transpose', [b.op('Unsqueeze', [parts, b.ints(0)])], { perm: [3, 1, 2, 0, 4] });
        const stacked = b.op('Squeeze', [moved, b.ints(3)]);
        const length = b.op('Slice', [b.op('Shape', [rows]), b.ints(0), b.ints(1), b.ints(0)]);
        const pick = (i: bigint) => {
          const index = b.constant({ dtype: 'int64', dims: [], data: BigInt64Array.of(i) });
          const one = b.op('Gather', [stacked, index], { axis: 0 });
          const shape = b.op('Concat', [length, b.ints(-1), b.ints(HEAD)], { axis: 0 });
          return b.op('Transpose', [b.op('Reshape', [one, shape])], { perm: [1, 0, 2] });
        };
        const [q, k, v] = [pick(0n), pick(1n), pick(2n)];
        const scores = b.op('MatMul', [
          b.op('Mul', [q, b.scalar(0.4)]),
          b.op('Transpose', [k], { perm: [0, 2, 1] }),
        ]);
        const mixed = b.op('Transpose', [b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), v])], {
          perm: [1, 0, 2],
        });
        const shape = b.op('Concat', [length, b.ints(-1), b.ints(INNER)], { axis: 0 });
        const out = b.linear(b.op('Reshape', [mixed, shape]), b.weight(INNER, WIDTH), b.weight(WIDTH));
        return b.op('Transpose', [out], { perm: [1, 0, 2] });
      }),
    pairs: ATTENTION,
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
  {
    name: 'attention without Softmax',
    graph: () =>
      model((b, x) => {
        const [q, k, v] = threeHeads(b, x);
        const scores = b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
        return project(b, b.op('MatMul', [b.op('Relu', [scores]), v]));
      }),
    pairs: [ATTENTION[1] as string],
    reason: /without a Softmax/,
  },
  {
    name: 'cross attention with keys and values from another input',
    graph: () => {
      const b = new GraphBuilder();
      const x = b.input('x', ['batch', 'length', WIDTH]);
      const memory = b.input('memory', ['batch', 'memory', 10]);
      const make = (from: string, width: number) =>
        heads(b, b.linear(from, b.weight(width, INNER), b.weight(INNER)), HEADS, HEAD);
      const out = attend(b, make(norm(b, x), WIDTH), make(memory, 10), make(memory, 10));
      return b.build({ y: [norm(b, b.op('Add', [x, out])), ['batch', 'length', WIDTH]] });
    },
    pairs: ATTENTION,
  },
];
