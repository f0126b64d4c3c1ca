/** Ways to lay out projections, heads and outputs of attention, and what must be found in them. */
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import type { Graph } from '../graph/graph.ts';
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
  norm,
  project,
  threeHeads,
  WIDTH,
} from './layout-blocks.case.ts';

export const attentionLayouts: readonly Architecture[] = [
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
    name: 'projections and output written as Einsum with matrices of three axes, length first',
    graph: () =>
      model((b, x) => {
        const rows = b.op('Transpose', [x], { perm: [1, 0, 2] });
        const make = () =>
          b.op('Einsum', [rows, b.weight(WIDTH, HEADS, HEAD)], { equation: 'ibh,hnd->ibnd' });
        const scores = b.op('Einsum', [make(), make()], { equation: 'ibnd,jbnd->bnij' });
        const weights = b.op('Softmax', [scores], { axis: -1 });
        const mixed = b.op('Einsum', [weights, make()], { equation: 'bnij,jbnd->ibnd' });
        const out = b.op('Einsum', [mixed, b.weight(WIDTH, HEADS, HEAD)], { equation: 'ibnd,hnd->ibh' });
        return b.op('Transpose', [out], { perm: [1, 0, 2] });
      }),
    pairs: ATTENTION,
  },
  {
    name: 'two key-value groups fused with their queries, keys and values picked by GatherND',
    graph: () =>
      model((b, x) => {
        const fused = b.linear(x, b.weight(WIDTH, 2 * 4 * HEAD));
        const grouped = b.op('Reshape', [fused, b.ints(0, 0, 2, 4, HEAD)]); // [batch, length, groups, 2 + 2, size]
        const first = b.op('Transpose', [grouped], { perm: [3, 0, 1, 2, 4] });
        const pick = (at: bigint) => {
          const index = b.constant({ dtype: 'int64', dims: [1, 1], data: BigInt64Array.of(at) });
          const one = b.op('Transpose', [b.op('GatherND', [first, index])], { perm: [1, 2, 3, 0, 4] });
          const spread = b.op('Expand', [one, b.ints(1, 1, 1, 2, 1)]);
          return b.op('Transpose', [b.op('Reshape', [spread, b.ints(0, 0, HEADS, HEAD)])], {
            perm: [0, 2, 1, 3],
          });
        };
        const query = b.op('Reshape', [b.slice(grouped, 3, 0, 2), b.ints(0, 0, HEADS, HEAD)]);
        const turned = b.op('Transpose', [query], { perm: [0, 2, 1, 3] });
        return attend(b, turned, pick(-2n), pick(-1n));
      }),
    pairs: [`query-key 4/2x${HEAD}`, `value-projection 4/2x${HEAD}`],
  },
  {
    name: 'query, key and value fused behind a batch normalisation',
    graph: () =>
      model((b, x) => {
        const fused = b.linear(x, b.weight(WIDTH, 3 * INNER));
        const flat = b.op('Reshape', [fused, b.ints(-1, 3 * INNER)]);
        const positive = b.constant({
          dtype: 'float32',
          dims: [3 * INNER],
          data: Float32Array.from({ length: 3 * INNER }, (_, i) => 0.5 + (i % 7)),
        });
        const vector = () => b.weight(3 * INNER);
        const normed = b.op('BatchNormalization', [flat, vector(), vector(), vector(), positive]);
        const shape = b.op('Shape', [fused]);
        const rows = b.op('Reshape', [b.op('Reshape', [normed, shape]), b.ints(0, 0, HEADS, 3 * HEAD)]);
        const parts = b.ops('Split', [rows, b.ints(HEAD, HEAD, HEAD)], 3, { axis: -1 });
        const [q = '', k = '', v = ''] = parts.map((part) =>
          b.op('Transpose', [part], { perm: [0, 2, 1, 3] }),
        );
        return attend(b, q, k, v);
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
    name: 'adapters beside the matrices of query and value and of an MLP',
    graph: () => {
      const adapted = (b: GraphBuilder, x: string, outer: number) =>
        b.op('Add', [
          b.linear(x, b.weight(WIDTH, outer), b.weight(outer)),
          b.op('Mul', [b.linear(b.linear(x, b.weight(WIDTH, 3)), b.weight(3, outer)), b.scalar(2)]),
        ]);
      return model(
        (b, x) => {
          const [, k] = threeHeads(b, x);
          const made = () => heads(b, adapted(b, x, INNER), HEADS, HEAD);
          return attend(b, made(), k, made());
        },
        (b, x) => b.linear(b.op('Relu', [adapted(b, x, 32)]), b.weight(32, WIDTH)),
      );
    },
    pairs: ['sequential 1x3', 'sequential 1x3', ...ATTENTION, 'sequential 1x3', 'sequential 1x32'],
  },
  {
    name: 'learnt queries that are repeated for each example',
    graph: () => {
      const b = new GraphBuilder();
      const x = norm(b, b.input('x', ['batch', 'length', WIDTH]));
      const [key, value] = [b.weight(WIDTH, INNER), b.weight(WIDTH, INNER)].map((matrix) =>
        heads(b, b.linear(x, matrix), HEADS, HEAD),
      );
      const examples = b.slice(b.op('Shape', [x]), 0, 0, 1);
      const shape = b.op('Concat', [examples, b.ints(HEADS, 3, HEAD)], { axis: 0 });
      const queries = b.op('Expand', [b.weight(1, HEADS, 3, HEAD), shape]);
      return b.build({ y: [attend(b, queries, key ?? '', value ?? ''), ['batch', 3, WIDTH]] });
    },
    pairs: ATTENTION,
  },
  {
    name: 'a parallel block: queries, keys, values and the MLP from one matrix, and one matrix for what both make',
    graph: () =>
      model((b, x) => {
        const fused = b.linear(x, b.weight(WIDTH, 3 * INNER + 20), b.weight(3 * INNER + 20));
        const [q = '', k = '', v = '', hidden = ''] = b.ops(
          'Split',
          [fused, b.ints(INNER, INNER, INNER, 20)],
          4,
          { axis: -1 },
        );
        const [query = '', key = '', value = ''] = [q, k, v].map((part) => heads(b, part, HEADS, HEAD));
        const scores = b.op('MatMul', [query, b.op('Transpose', [key], { perm: [0, 1, 3, 2] })]);
        const mixed = b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), value]);
        const rows = b.op('Reshape', [
          b.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }),
          b.ints(0, 0, INNER),
        ]);
        const joined = b.op('Concat', [rows, b.op('Gelu', [hidden])], { axis: -1 });
        return b.linear(joined, b.weight(INNER + 20, WIDTH), b.weight(WIDTH));
      }),
    pairs: [...ATTENTION, 'sequential 1x20'],
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
