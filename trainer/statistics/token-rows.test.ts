import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import type { TokenMask } from '../data/token-masks.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { type Moments, MomentsAccumulator, momentsGraph } from './activation-moments.ts';
import { type TokenRows, tokenRows } from './token-rows.ts';

describe('which values have which tokens', () => {
  const mask: TokenMask = { input: 'mask', tokens: 5, of: ['ids'], before: ['later'] };
  const b = new GraphBuilder();
  const ids = b.input('ids', ['n', 't']);
  const own = b.op('Exp', [ids]);
  const other = b.op('Exp', [b.input('image', ['n', 'p'])]);
  const behind = b.op('Add', [own, b.input('later', ['n', 't'])]);
  const graph = b.build({ own: [own, ['n', 't']], other: [other, ['n']], behind: [behind, ['n']] });
  const found = (value: string, ...dims: number[]) =>
    tokenRows(graph, [mask], new Map([[value, dims]]), 2).get(value);

  test('the axis behind the batch that is as long as the mask, the last one aside', () => {
    const common = { value: own, mask: 'mask', tokens: 5 };
    expect(found(own, 2, 5, 8)).toEqual({ ...common, rank: 3, axis: 1 });
    expect(found(own, 2, 5, 5)).toEqual({ ...common, rank: 3, axis: 1 });
    expect(found(own, 2, 4, 5, 8)).toEqual({ ...common, rank: 4, axis: 2 });
  });

  test('none where no axis fits or two do, where the batch is elsewhere, or where rows are not those tokens', () => {
    for (const dims of [
      [2, 6, 8],
      [2, 5],
      [10, 8],
      [2, 5, 5, 8],
      [5, 2, 8],
      [6, 5, 8],
    ])
      expect(found(own, ...dims)).toBeUndefined();
    expect(found(other, 2, 5, 8)).toBeUndefined();
    expect(found(behind, 2, 5, 8)).toBeUndefined();
    const twice = [mask, { ...mask, input: 'another' }];
    expect(tokenRows(graph, twice, new Map([[own, [2, 5, 8]]]), 2).size).toBe(0);
  });
});

/** Tokens [n, t, 3], and the same in two groups, [n, 2, t, 3]. */
function tokens(opset: number): { graph: Graph; plain: string; grouped: string } {
  const b = new GraphBuilder();
  const x = b.input('x', ['n', 't', 3]);
  const mask = b.input('mask', ['n', 't'], 'int64');
  const plain = b.op('Add', [x, x]);
  const grouped = b.op('Add', [
    b.op('Unsqueeze', opset < 13 ? [x] : [x, b.ints(1)], opset < 13 ? { axes: [1] } : {}),
    b.weight(2, 1, 3),
  ]);
  const kept = b.op('Cast', [mask], { to: 1 });
  return {
    graph: b.build(
      { plain: [plain, ['n', 't', 3]], grouped: [grouped, ['n', 2, 't', 3]], kept: [kept, ['n', 't']] },
      opset,
    ),
    plain,
    grouped,
  };
}

const TEXTS = [[1, -2, 3], [4], [], [0.5, 0.25, -1, 2]];
const LENGTH = 5;
const valuesOf = (token: number) => [token, token * token, 1 - token];

/** @param length of all; padding is larger than any token */
function feeds(texts: readonly number[][], length: number): Record<string, Tensor> {
  const rows = texts.flatMap((text) =>
    Array.from({ length }, (_, i) => (i < text.length ? valuesOf(text[i] as number) : [50, -70, 90])),
  );
  const marks = texts.flatMap((text) => Array.from({ length }, (_, i) => (i < text.length ? 1n : 0n)));
  return {
    x: { dtype: 'float32', dims: [texts.length, length, 3], data: Float32Array.from(rows.flat()) },
    mask: { dtype: 'int64', dims: [texts.length, length], data: BigInt64Array.from(marks) },
  };
}

async function momentsOf(
  graph: Graph,
  values: readonly string[],
  masked: ReadonlyMap<string, TokenRows>,
  blocks: readonly Record<string, Tensor>[],
): Promise<Moments[]> {
  const session = await createOrtSession(ortModel(momentsGraph(graph, values, masked)));
  const moments = new MomentsAccumulator(values);
  for (const block of blocks) moments.add(await session.run(block));
  await session.close();
  return values.map((value) => moments.result().get(value) as Moments);
}

// Some operators take as inputs from opset 13 on what they have as attributes before.
test.each([11, 13, 20])(
  'padded batches have the moments of the texts alone, one by one, at opset %d',
  async (opset) => {
    const { graph, plain, grouped } = tokens(opset);
    const values = [plain, grouped];
    const mask: TokenMask = { input: 'mask', tokens: LENGTH, of: ['x'], before: [] };
    const dims = new Map([
      [plain, [2, LENGTH, 3]],
      [grouped, [2, 2, LENGTH, 3]],
    ]);
    const masked = tokenRows(graph, [mask], dims, 2);
    expect(masked.size).toBe(2);
    const padded = [TEXTS.slice(0, 2), TEXTS.slice(2, 3), TEXTS.slice(3)].map((texts) =>
      feeds(texts, LENGTH),
    );
    const alone = TEXTS.filter((text) => text.length > 0).map((text) => feeds([text], text.length));
    const [own, expected] = [
      await momentsOf(graph, values, masked, padded),
      await momentsOf(graph, values, new Map(), alone),
    ];
    const count = TEXTS.flat().length;
    expect(own.map((moments) => moments.count)).toEqual([count, 2 * count]);
    for (const [i, moments] of own.entries()) {
      expect(moments.count).toBe(expected[i]?.count);
      for (const [j, sum] of moments.sum.entries()) expect(sum).toBeCloseTo(expected[i]?.sum[j] as number, 4);
      for (const [j, gram] of moments.gram.entries())
        expect(gram).toBeCloseTo(expected[i]?.gram[j] as number, 3);
    }
  },
);

test('where nothing is masked the graph is the one without masks', () => {
  const { graph, plain, grouped } = tokens(20);
  const [only] = [momentsGraph(graph, [plain, grouped])];
  const added = only?.nodes.slice(graph.nodes.length).map(({ opType }) => opType);
  expect(added).toEqual(
    [plain, grouped].flatMap(() => ['Flatten', 'Transpose', 'MatMul', 'ReduceSum', 'Shape']),
  );
});
