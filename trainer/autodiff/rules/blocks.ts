/** Blocks of positions traded for channels: the gradient is traded back. */
import { intAttribute, stringAttribute } from '../../graph/graph.ts';
import type { Builder } from '../builder.ts';
import { int, text } from '../expressions.ts';
import { rulesOf, type VjpRule, type VjpTable } from '../rule.ts';

/** SpaceToDepth lays channels out by place in the block first; by channel first they stand in another order. */
const depthToSpace: VjpRule['vjp'] = ({ node, build: b, dy, x: [x = ''] }) => [
  () => {
    const block = intAttribute(node, 'blocksize', 1);
    const back = b.add('SpaceToDepth', [dy], { blocksize: int(block) });
    if (stringAttribute(node, 'mode', 'DCR') === 'DCR') return back;
    const places = block * block;
    const depth = (b.dims(x)[1] as number) / places;
    return channels(b, back, (c) => (c % places) * depth + Math.floor(c / places), depth * places);
  },
];

const spaceToDepth: VjpRule['vjp'] = ({ node, build: b, dy }) => [
  () =>
    b.add('DepthToSpace', [dy], {
      blocksize: int(intAttribute(node, 'blocksize', 1)),
      mode: text(stringAttribute(node, 'mode', 'DCR')),
    }),
];

/** Channel c is the value's channel `from(c)`. */
function channels(b: Builder, value: string, from: (c: number) => number, count: number): string {
  const order = b.integers(Array.from({ length: count }, (_, c) => from(c)));
  return b.add('Gather', [value, order], { axis: int(1) });
}

export const blockRules: VjpTable = {
  ...rulesOf({ SpaceToDepth: spaceToDepth }),
  DepthToSpace: {
    vjp: depthToSpace,
    unsupported: (node, b) =>
      b.dims(node.inputs[0] ?? '')[1] === undefined ? 'a free number of channels' : undefined,
  },
};
