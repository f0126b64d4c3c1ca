/** Ways to write scores and what is mixed by them, and what must be found in them. */
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import {
  type Architecture,
  ATTENTION,
  attend,
  HEAD,
  HEADS,
  heads,
  INNER,
  mlp,
  model,
  modelOf,
  norm,
  project,
  threeHeads,
  WIDTH,
} from './layout-blocks.case.ts';

export const scoreLayouts: readonly Architecture[] = [
  {
    name: 'queries and keys normalised per head',
    graph: () =>
      model((b, x) => {
        const [q, k, v] = threeHeads(b, x);
        const normed = (value: string) => b.op('LayerNormalization', [value, b.weight(HEAD)], { axis: -1 });
        return attend(b, normed(q), normed(k), v);
      }),
    pairs: ATTENTION,
  },
  {
    name: 'cosine attention: queries and keys of length one',
    graph: () =>
      model((b, x) => {
        const [q, k, v] = threeHeads(b, x);
        const normed = (value: string) => {
          const length = b.op('ReduceL2', [value, b.ints(-1)], { keepdims: 1 });
          return b.op('Div', [value, b.op('Max', [length, b.scalar(1e-6)])]);
        };
        return attend(b, normed(q), normed(k), v);
      }),
    pairs: ATTENTION,
  },
  {
    name: 'queries that also look at a table of positions, by Einsum',
    graph: () =>
      model((b, x) => {
        const few = b.slice(x, 1, 0, 7);
        const [q, k, v] = threeHeads(b, few);
        const scores = b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
        const positions = b.op('Einsum', [q, b.weight(7, 7, HEAD)], { equation: '...qd,qkd->...qk' });
        const weights = b.op('Softmax', [b.op('Add', [scores, positions])], { axis: -1 });
        return b.op('ReduceMean', [project(b, b.op('MatMul', [weights, v])), b.ints(1)]);
      }),
    pairs: ATTENTION,
  },
  {
    name: 'queries and keys of content and of positions, each from a linear of its own',
    graph: () =>
      model((b, x) => {
        const [q, k, v] = threeHeads(b, x);
        const [p] = threeHeads(b, b.op('Tanh', [x]));
        const dot = (left: string, right: string) =>
          b.op('MatMul', [left, b.op('Transpose', [right], { perm: [0, 1, 3, 2] })]);
        const biased = (value: string) => b.op('Add', [value, b.weight(HEADS, 1, HEAD)]);
        const scores = b.op('Add', [dot(biased(q), k), dot(biased(q), p)]);
        return project(b, b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), v]));
      }),
    pairs: ATTENTION,
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
    name: 'Softmax written out, with and without its maximum, by quotient, reciprocal and repetition',
    graph: () => {
      const sumAlong = (b: GraphBuilder, x: string, keepdims: number) =>
        b.op('ReduceSum', [x, b.ints(-1)], { keepdims });
      const ways: ((b: GraphBuilder, scores: string) => string)[] = [
        (b, scores) => {
          const e = b.op('Exp', [b.op('Sub', [scores, b.op('ReduceMax', [scores], { axes: [-1] })])]);
          return b.op('Div', [e, sumAlong(b, e, 1)]);
        },
        (b, scores) => {
          const e = b.op('Exp', [scores]);
          return b.op('Mul', [b.op('Reciprocal', [sumAlong(b, e, 1)]), e]);
        },
        (b, scores) => {
          const e = b.op('Exp', [scores]);
          const sum = b.op('Unsqueeze', [sumAlong(b, e, 0), b.ints(3)]);
          return b.op('Div', [e, b.op('Expand', [sum, b.op('Shape', [e])])]);
        },
      ];
      return modelOf(
        17,
        ...ways.map((softmax) => (b: GraphBuilder, x: string) => {
          const [q, k, v] = threeHeads(b, x);
          const scores = b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
          return project(b, b.op('MatMul', [softmax(b, scores), v]));
        }),
      );
    },
    pairs: [...ATTENTION, ...ATTENTION, ...ATTENTION],
  },
  {
    name: 'exponentials over another sum than their own',
    graph: () =>
      model((b, x) => {
        const [q, k, v] = threeHeads(b, x);
        const scores = b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
        const e = b.op('Exp', [scores]);
        const sum = b.op('ReduceSum', [b.op('Mul', [e, e]), b.ints(-1)]);
        return project(b, b.op('MatMul', [b.op('Div', [e, sum]), v]));
      }),
    pairs: ATTENTION,
  },
  {
    name: 'a gate on each unit of what is mixed, with fewer heads of values',
    graph: () =>
      model((b, x) => {
        const q = heads(b, b.linear(x, b.weight(WIDTH, INNER)), HEADS, HEAD);
        const few = () => heads(b, b.linear(x, b.weight(WIDTH, 2 * HEAD)), 2, HEAD);
        const [k, v] = [few(), few()].map((value) => {
          const wide = b.op('Expand', [b.op('Unsqueeze', [value, b.ints(2)]), b.ints(1, 1, 2, 1, 1)]);
          return b.op('Reshape', [wide, b.ints(0, HEADS, -1, HEAD)]);
        }) as [string, string];
        const scores = b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
        const mixed = b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), v]);
        const gate = b.op('Sigmoid', [b.linear(x, b.weight(WIDTH, INNER), b.weight(INNER))]);
        const rows = b.op('Reshape', [
          b.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }),
          b.ints(0, 0, INNER),
        ]);
        return b.linear(b.op('Mul', [rows, gate]), b.weight(INNER, WIDTH), b.weight(WIDTH));
      }),
    pairs: ['query-key 4/2x6', 'value-projection 4/2x6'],
  },
  {
    name: 'attention without Softmax: scores as they are, squared, and through a Sigmoid',
    graph: () =>
      model(
        ...[[], ['Relu'], ['Sigmoid']].map((by) => (b: GraphBuilder, x: string) => {
          const [q, k, v] = threeHeads(b, x);
          const scores = b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
          const weights = by.reduce((value, opType) => b.op(opType, [value]), scores);
          return project(b, b.op('MatMul', [b.op('Mul', [weights, weights]), v]));
        }),
      ),
    pairs: [...ATTENTION, ...ATTENTION, ...ATTENTION],
  },
  {
    name: 'linear attention: keys mix the values before queries read them, over the sum of their weights',
    graph: () =>
      model((b, x) => {
        const [q, k, v] = threeHeads(b, x);
        const [query = '', key = ''] = [q, k].map((value) => b.op('Softplus', [value]));
        const turned = b.op('Transpose', [key], { perm: [0, 1, 3, 2] });
        const mixed = b.op('MatMul', [query, b.op('MatMul', [turned, v])]);
        const sums = b.op('ReduceSum', [turned, b.ints(-1)], { keepdims: 1 });
        return project(b, b.op('Div', [mixed, b.op('MatMul', [query, sums])]));
      }),
    pairs: ATTENTION,
  },
  {
    name: 'a gated attention unit: one matrix for all, queries and keys of one part, each at a scale of its own',
    graph: () =>
      model((b, x) => {
        const fused = b.linear(x, b.weight(WIDTH, 2 * INNER + HEAD), b.weight(2 * INNER + HEAD));
        const active = b.op('Mul', [fused, b.op('Sigmoid', [fused])]);
        const parts = b.ops('Split', [active, b.ints(INNER, INNER, HEAD)], 3, { axis: -1 });
        const [gate = '', value = '', base = ''] = parts;
        const scaled = () => b.op('Add', [b.op('Mul', [base, b.weight(HEAD)]), b.weight(HEAD)]);
        const scores = b.op('MatMul', [scaled(), b.op('Transpose', [scaled()], { perm: [0, 2, 1] })]);
        const weights = b.op('Relu', [scores]);
        const mixed = b.op('MatMul', [b.op('Mul', [weights, weights]), value]);
        return b.linear(b.op('Mul', [gate, mixed]), b.weight(INNER, WIDTH), b.weight(WIDTH));
      }),
    pairs: [`query-key 1x${HEAD}`, `value-projection 1x${INNER}`],
  },
  {
    name: 'queries and keys of one part, scaled side by side by an Einsum that sums nothing',
    graph: () =>
      model((b, x) => {
        const [, , value] = threeHeads(b, x);
        const base = b.linear(x, b.weight(WIDTH, HEAD), b.weight(HEAD));
        const scaled = b.op('Einsum', [base, b.weight(2, HEAD)], { equation: '...r,sr->...sr' });
        const [query = '', key = ''] = b
          .ops('Split', [b.op('Add', [scaled, b.weight(2, HEAD)]), b.ints(1, 1)], 2, { axis: 2 })
          .map((part) => b.op('Transpose', [part], { perm: [0, 2, 1, 3] }));
        return attend(b, query, key, value);
      }),
    pairs: [`query-key 1x${HEAD}`, `value-projection 4x${HEAD}`],
  },
  {
    name: 'likeness of all places to each other, which weighs nothing',
    graph: () => {
      const b = new GraphBuilder();
      const x = b.input('x', ['batch', 'length', WIDTH]);
      const hidden = b.op('Add', [x, mlp(b, norm(b, x))]);
      const [one = '', other = ''] = [0, 1].map(() => b.linear(hidden, b.weight(WIDTH, HEAD)));
      const likeness = b.op('MatMul', [one, b.op('Transpose', [other], { perm: [0, 2, 1] })]);
      return b.build({ y: [b.op('Tanh', [likeness]), ['batch', 'length', 'length']] });
    },
    pairs: ['sequential 1x32'],
    reason: /to products that weigh nothing/,
  },
];
