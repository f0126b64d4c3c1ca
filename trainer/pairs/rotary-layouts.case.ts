/** Ways to turn queries and keys by their positions, and what must be found in them. */
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import {
  type Architecture,
  ATTENTION,
  angles,
  attend,
  HEAD,
  HEADS,
  heads,
  INNER,
  int,
  length,
  model,
  norm,
  rotateHalves,
  tables,
  threeHeads,
  WIDTH,
} from './layout-blocks.case.ts';

export const rotaryLayouts: readonly Architecture[] = [
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
    name: 'rotary positions whose angles are a column of positions times a row of frequencies, in two layers',
    graph: () => {
      const b = new GraphBuilder();
      let x = b.input('x', ['batch', 'length', WIDTH]);
      const positions = b.op('Range', [int(b, 0n), length(b, x), int(b, 1n)]);
      const column = b.op('Unsqueeze', [b.op('Cast', [positions], { to: 1 }), b.ints(1)]);
      const once = b.op('MatMul', [column, b.weight(1, HEAD / 2)]);
      const all = b.op('Concat', [once, once], { axis: -1 });
      const [cos, sin] = [b.op('Cos', [all]), b.op('Sin', [all])];
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
    name: 'rotary positions by halves, tables looked up by position',
    graph: () =>
      model((b, x) => {
        const positions = b.op('Range', [int(b, 0n), length(b, x), int(b, 1n)]);
        const look = () => {
          const table = b.op('Gather', [b.weight(64, HEAD / 2), positions], { axis: 0 });
          return b.op('Concat', [table, table], { axis: -1 });
        };
        const [cos, sin] = [look(), look()];
        const [q, k, v] = threeHeads(b, x);
        const turn = (value: string) => rotateHalves(b, value, cos, sin, HEAD);
        return attend(b, turn(q), turn(k), v);
      }),
    pairs: [`query-key 4x${HEAD / 2}`, ATTENTION[1] as string],
  },
  {
    name: 'rotary positions by halves, each half only ever used by itself',
    graph: () =>
      model((b, x) => {
        const once = angles(b, x, HEAD / 2);
        const [cos, sin] = [b.op('Cos', [once]), b.op('Sin', [once])];
        const [q, k, v] = threeHeads(b, x);
        const turn = (value: string) => {
          const [first = '', second = ''] = b.ops('Split', [value, b.ints(HEAD / 2, HEAD / 2)], 2, {
            axis: -1,
          });
          const times = (l: string, r: string) => b.op('Mul', [l, r]);
          return b.op(
            'Concat',
            [
              b.op('Sub', [times(first, cos), times(second, sin)]),
              b.op('Add', [times(second, cos), times(first, sin)]),
            ],
            { axis: 3 },
          );
        };
        return attend(b, turn(q), turn(k), v);
      }),
    pairs: [`query-key 4x${HEAD / 2}`, ATTENTION[1] as string],
  },
  {
    name: 'query, key and value fused, two key-value heads, rotary positions, gated MLP fused',
    graph: () =>
      model(
        (b, x) => {
          const [cos, sin] = tables(b, x, HEAD / 2);
          const few = 2 * HEAD;
          const fused = b.linear(x, b.weight(WIDTH, INNER + 2 * few));
          const end = INNER + few;
          const q = heads(b, b.slice(fused, 2, 0, INNER), HEADS, HEAD);
          const k = heads(b, b.slice(fused, 2, INNER, end), 2, HEAD);
          const v = heads(b, b.slice(fused, 2, end, 2 ** 53), 2, HEAD);
          const spread = (value: string) =>
            b.op('Reshape', [
              b.op('Expand', [b.op('Unsqueeze', [value, b.ints(2)]), b.ints(1, 1, 2, 1, 1)]),
              b.ints(0, HEADS, -1, HEAD),
            ]);
          const turn = (value: string) => rotateHalves(b, value, cos, sin, HEAD);
          return attend(b, turn(q), spread(turn(k)), spread(v));
        },
        (b, x) => {
          const [gate = '', up = ''] = b.ops('Split', [b.linear(x, b.weight(WIDTH, 40))], 2, {
            axis: -1,
            num_outputs: 2,
          });
          return b.linear(
            b.op('Mul', [up, b.op('Mul', [gate, b.op('Sigmoid', [gate])])]),
            b.weight(20, WIDTH),
          );
        },
      ),
    pairs: [`query-key 4/2x${HEAD / 2}`, `value-projection 4/2x${HEAD}`, 'gated 1x20'],
  },
  {
    name: 'normalised queries and keys turned by tables of unequal parts',
    graph: () =>
      model((b, x) => {
        const table = (kind: string) => {
          const all = b.op(kind, [angles(b, x, HEAD)]);
          return b.op('Concat', [b.slice(all, 1, 1, HEAD), b.slice(all, 1, 0, 1)], { axis: 1 });
        };
        const [cos, sin] = [table('Cos'), table('Sin')];
        const normal = (value: string) => {
          const mean = b.op('ReduceMean', [b.op('Mul', [value, value]), b.ints(-1)]);
          return b.op('Div', [value, b.op('Sqrt', [b.op('Add', [mean, b.scalar(1e-6)])])]);
        };
        const [q, k, v] = threeHeads(b, x);
        const turn = (value: string) => rotateHalves(b, normal(value), cos, sin, HEAD);
        return attend(b, turn(q), turn(k), v);
      }),
    pairs: [`value-projection ${HEADS}x${HEAD}`],
    reason: /unequal parts|joined by Concat/,
  },
];
