import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { sizeAt } from '../search/allocate.ts';
import { architectures } from './architectures.case.ts';
import { CUT_TOLERANCE, cuttingError, randomKeep } from './guard.ts';
import { model, WIDTH } from './layout-blocks.case.ts';
import type { Pair } from './pair.ts';
import { prepareModel, preparePairs, type TracedModel } from './prepare.ts';
import { reachOfPairs } from './reach.ts';

const PATTERNS = 5;

function shortForm({ kind, heads, kvHeads, units }: Pair): string {
  return `${kind} ${heads}${kvHeads === undefined ? '' : `/${kvHeads}`}x${units}`;
}

async function expectCutsExact(found: TracedModel): Promise<void> {
  for (let step = 0; step < PATTERNS; step++) {
    const size = found.sizes[step % found.sizes.length];
    if (!size) throw new Error('the model was not traced');
    const error = await cuttingError(found, randomKeep(found.pairs, 5, step), size, step);
    expect(error).toBeLessThanOrEqual(CUT_TOLERANCE);
  }
}

describe('layouts', () => {
  test.each(architectures)('$name', async ({ graph, pairs, reason }) => {
    const found = await preparePairs(graph(), 'built');
    expect(found.pairs.map(shortForm)).toEqual(pairs);
    if (reason) expect(found.leftAlone.map((entry) => entry.reason).join('\n')).toMatch(reason);
    await expectCutsExact(found);
  });
});

test('an expert that no token chose while tracing still costs something', async () => {
  const graph = model((b, x) => {
    const flat = b.op('Reshape', [x, b.ints(-1, WIDTH)]);
    const far = b.op('Greater', [b.op('ReduceSum', [flat, b.ints(-1)], { keepdims: 0 }), b.scalar(1e6)]);
    const chosen = b.op('NonZero', [far]); // [1, tokens]
    const tokens = b.op('Gather', [flat, b.op('Squeeze', [chosen, b.ints(0)])], { axis: 0 });
    const made = b.linear(b.op('Relu', [b.linear(tokens, b.weight(WIDTH, 20))]), b.weight(20, WIDTH));
    const all = b.op('ScatterND', [flat, b.op('Transpose', [chosen], { perm: [1, 0] }), made]);
    return b.op('Reshape', [all, b.op('Shape', [x])]);
  });
  const { pairs } = await preparePairs(graph, 'built');
  expect(pairs.map(shortForm)).toEqual(['sequential 1x20']);
  expect(pairs[0]?.flopsPerUnit).toBeGreaterThan(0);
});

test('matrices that contents pick from a stack are left alone by name', async () => {
  const graph = model((b, x) => {
    const dense = b.linear(b.op('Relu', [b.linear(x, b.weight(WIDTH, 20))]), b.weight(20, WIDTH));
    const scores = b.op('ReduceMean', [b.linear(x, b.weight(WIDTH, 3)), b.ints(1)], { keepdims: 0 });
    const best = b.op('ArgMax', [scores], { axis: -1, keepdims: 0 });
    const picked = (rows: number, columns: number) =>
      b.op('Transpose', [b.op('Gather', [b.weight(3, columns, rows), best], { axis: 0 })], {
        perm: [0, 2, 1],
      });
    const hidden = b.op('Relu', [b.op('MatMul', [x, picked(WIDTH, 12)])]);
    return b.op('Add', [dense, b.op('MatMul', [hidden, picked(12, WIDTH)])]);
  });
  const { pairs, leftAlone } = await preparePairs(graph, 'built');
  expect(pairs.map(shortForm)).toEqual(['sequential 1x20']);
  expect(leftAlone.filter(({ reason }) => reason.includes('experts'))).toHaveLength(2);
});

test('the gate of a gated MLP comes first, whichever way round it is written', async () => {
  for (const gateIs of [0, 1]) {
    const graph = model((b, x) => {
      const [first, second] = [b.linear(x, b.weight(WIDTH, 20)), b.linear(x, b.weight(WIDTH, 20))];
      const [gate, up] = gateIs === 0 ? [first, second] : [second, first];
      return b.linear(b.op('Mul', [up, b.op('Gelu', [gate])]), b.weight(20, WIDTH));
    });
    const { pairs, graph: prepared } = await preparePairs(graph, 'gated');
    const [gate] = pairs[0]?.producers ?? [];
    expect(prepared.nodes.find(({ opType }) => opType === 'Gelu')?.inputs[0]).toBe(gate?.output);
  }
});

test('a depthwise convolution that is written as taps costs as many FLOPs as the convolution', async () => {
  const b = new GraphBuilder();
  const x = b.input('x', ['batch', WIDTH, 8, 6]);
  const hidden = b.op('Conv', [x, b.weight(24, WIDTH, 1, 1)]);
  const mixed = b.op('Conv', [hidden, b.weight(24, 1, 3, 3), b.weight(24)], {
    group: 24,
    pads: [1, 1, 1, 1],
  });
  const y = b.op('Conv', [b.op('Relu', [mixed]), b.weight(WIDTH, 24, 1, 1)]);
  const found = await preparePairs(b.build({ y: [y, ['batch', WIDTH, 8, 6]] }), 'mixed');
  const positions = 8 * 6;
  expect(found.pairs.map(({ flopsPerUnit }) => flopsPerUnit)).toEqual([
    2 * (2 * positions * WIDTH) + 2 * positions * 9,
  ]);
  expect(found.flops).toBe(24 * (found.pairs[0]?.flopsPerUnit ?? 0));
});

test('a linear that ends one pair and begins the next is counted once', async () => {
  const b = new GraphBuilder();
  const x = b.input('x', ['batch', WIDTH]);
  const hidden = b.op('Relu', [b.linear(x, b.weight(WIDTH, 12))]);
  const y = b.linear(b.op('Relu', [b.linear(hidden, b.weight(12, 10))]), b.weight(10, WIDTH));
  const found = await preparePairs(b.build({ y: [y, ['batch', WIDTH]] }), 'chain');
  expect(found.pairs.map(shortForm)).toEqual(['sequential 1x12', 'sequential 1x10']);
  expect(reachOfPairs(found)).toEqual({ flopsPercent: 100, paramsPercent: 100 });
  const half = sizeAt(found.pairs, [6, 5], found);
  expect(half).toEqual({ flops: 2 * (WIDTH * 6 + 6 * 5 + 5 * WIDTH), params: WIDTH * 6 + 6 * 5 + 5 * WIDTH });
});

describe('digits', () => {
  test('four layers of three pairs each, all else left alone with a reason', async () => {
    const found = await prepareModel(readFileSync('examples/digits/digits.onnx'), 'digits.onnx');
    expect(found.pairs.map(({ name }) => name)).toEqual(
      [0, 1, 2, 3].flatMap((layer) => [
        `layer${layer}.query-key`,
        `layer${layer}.value-projection`,
        `layer${layer}.mlp`,
      ]),
    );
    expect(found.pairs.slice(0, 3).map(shortForm)).toEqual([
      'query-key 4x16',
      'value-projection 4x16',
      'sequential 1x256',
    ]);
    // 50 tokens, width 64: two projections and one attention product for each unit of each of 4 heads.
    expect(found.pairs[0]?.flopsPerUnit).toBe(2 * (2 * 50 * 64 * 4) + 2 * 4 * 50 * 50);
    expect(found.pairs[2]?.flopsPerUnit).toBe(2 * (2 * 50 * 64));
    expect(found.pairs[2]?.paramsPerUnit).toBe(64 + 1 + 64);
    expect(found.pairs.map(({ rotation }) => rotation !== undefined).slice(0, 3)).toEqual([
      true,
      true,
      false,
    ]);
    expect(found.leftAlone.map(({ reason }) => reason)).toEqual([
      'a convolution is no linear map between tokens',
      'its output axis reaches the output logits',
    ]);
    await expectCutsExact(found);
  });
});

const graphs = '../shared/models/graphs';

interface ExpectedLayer {
  readonly query_key?: ExpectedPair;
  readonly value_projection?: ExpectedPair;
  readonly mlp?: ExpectedPair & { readonly gated?: boolean };
}
interface ExpectedPair {
  readonly heads?: number;
  readonly kv_heads?: number;
  readonly units: number;
}

describe.skipIf(!existsSync(graphs))(`exported by torch.onnx (needs ${graphs})`, () => {
  const file = `${graphs}/expected_pairs.json`;
  const expected: Record<string, ExpectedLayer[]> = existsSync(file)
    ? JSON.parse(readFileSync(file, 'utf8'))
    : {};
  const cases = Object.keys(expected).flatMap((name) => [`${name}.dynamo`, `${name}.ts`]);

  test.each(cases)('%s', async (name) => {
    const found = await prepareModel(readFileSync(`${graphs}/${name}.onnx`), name);
    const layers = expected[name.split('.')[0] ?? ''] ?? [];
    const wanted = layers.flatMap(({ query_key, value_projection, mlp }) => [
      ...(query_key ? [expectedForm('query-key', query_key)] : []),
      ...(value_projection ? [expectedForm('value-projection', value_projection)] : []),
      ...(mlp ? [expectedForm(mlp.gated ? 'gated' : 'sequential', mlp)] : []),
    ]);
    // Towers of a two-tower model may stand in either order.
    expect(found.pairs.map(shortForm).sort()).toEqual(wanted.sort());
    await expectCutsExact(found);
  });
});

function expectedForm(kind: string, { heads = 1, kv_heads, units }: ExpectedPair): string {
  return `${kind} ${heads}${kv_heads === undefined ? '' : `/${kv_heads}`}x${units}`;
}

test('a model without any pair is refused, saying what was looked for and why it was not there', async () => {
  const b = new GraphBuilder();
  const x = b.input('x', ['batch', 8]);
  const graph = b.build({ y: [b.linear(x, b.weight(8, 3)), ['batch', 3]] });
  await expect(preparePairs(graph, 'single.onnx')).rejects.toMatchObject({
    code: 'no-pairs',
    message: expect.stringMatching(/single\.onnx has no pair.*reaches the output y/s),
  });
});
