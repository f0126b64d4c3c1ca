import { expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { chosenRows } from './chosen-rows.ts';

test('rows are chosen from where contents say which, until they are written back', () => {
  const b = new GraphBuilder();
  const x = b.input('x', ['n', 4]);
  const before = b.op('Relu', [x]);
  const places = b.op('NonZero', [b.op('ReduceSum', [before, b.ints(-1)], { keepdims: 0 })]);
  const tokens = b.op('Gather', [before, b.op('Squeeze', [places, b.ints(0)])], { axis: 0 });
  const made = b.linear(tokens, b.weight(4, 4));
  const back = b.op('ScatterND', [before, b.op('Transpose', [places], { perm: [1, 0] }), made]);
  const behind = b.op('Relu', [back]);
  const chosen = chosenRows(b.build({ y: [behind, ['n', 4]] }));
  expect([tokens, made].every((value) => chosen.has(value))).toBe(true);
  expect([before, back, behind].some((value) => chosen.has(value))).toBe(false);
});
