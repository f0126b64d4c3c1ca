import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { architectures } from './architectures.case.ts';
import { CUT_TOLERANCE, cuttingError, randomKeep } from './guard.ts';
import type { Pair } from './pair.ts';
import { prepareModel, preparePairs, type TracedModel } from './prepare.ts';

const PATTERNS = 5;

function shortForm({ kind, heads, kvHeads, units }: Pair): string {
  return `${kind} ${heads}${kvHeads === undefined ? '' : `/${kvHeads}`}x${units}`;
}

async function expectCutsExact(model: TracedModel): Promise<void> {
  for (let step = 0; step < PATTERNS; step++) {
    const size = model.sizes[step % model.sizes.length];
    if (!size) throw new Error('the model was not traced');
    const error = await cuttingError(model, randomKeep(model.pairs, 5, step), size, step);
    expect(error).toBeLessThanOrEqual(CUT_TOLERANCE);
  }
}

describe('layouts', () => {
  test.each(architectures)('$name', async ({ graph, pairs, reason }) => {
    const model = await preparePairs(graph(), 'built');
    expect(model.pairs.map(shortForm)).toEqual(pairs);
    if (reason) expect(model.leftAlone.map((entry) => entry.reason).join('\n')).toMatch(reason);
    await expectCutsExact(model);
  });
});

describe('digits', () => {
  test('four layers of three pairs each, all else left alone with a reason', async () => {
    const model = await prepareModel(readFileSync('examples/digits/digits.onnx'), 'digits.onnx');
    expect(model.pairs.map(({ name }) => name)).toEqual(
      [0, 1, 2, 3].flatMap((layer) => [
        `layer${layer}.query-key`,
        `layer${layer}.value-projection`,
        `layer${layer}.mlp`,
      ]),
    );
    expect(model.pairs.slice(0, 3).map(shortForm)).toEqual([
      'query-key 4x16',
      'value-projection 4x16',
      'sequential 1x256',
    ]);
    // 50 tokens, width 64: two projections and one attention product for each unit of each of 4 heads.
    expect(model.pairs[0]?.flopsPerUnit).toBe(2 * (2 * 50 * 64 * 4) + 2 * 4 * 50 * 50);
    expect(model.pairs[2]?.flopsPerUnit).toBe(2 * (2 * 50 * 64));
    expect(model.pairs[2]?.paramsPerUnit).toBe(64 + 1 + 64);
    expect(model.pairs.map(({ rotation }) => rotation !== undefined).slice(0, 3)).toEqual([
      true,
      true,
      false,
    ]);
    expect(model.leftAlone.map(({ reason }) => reason)).toEqual([
      'a convolution is no linear map between tokens',
      'its output axis reaches the output logits',
    ]);
    await expectCutsExact(model);
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
    const model = await prepareModel(readFileSync(`${graphs}/${name}.onnx`), name);
    const layers = expected[name.split('.')[0] ?? ''] ?? [];
    const wanted = layers.flatMap(({ query_key, value_projection, mlp }) => [
      ...(query_key ? [expectedForm('query-key', query_key)] : []),
      ...(value_projection ? [expectedForm('value-projection', value_projection)] : []),
      ...(mlp ? [expectedForm(mlp.gated ? 'gated' : 'sequential', mlp)] : []),
    ]);
    // Towers of a two-tower model may stand in either order.
    expect(model.pairs.map(shortForm).sort()).toEqual(wanted.sort());
    await expectCutsExact(model);
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
