import { beforeAll, describe, expect, test } from 'vitest';
import { GraphBuilder } from '../../test/support/graph-builder.ts';
import { startBackend } from '../engine/backend.ts';
import { architectures } from '../pairs/architectures.case.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { checkModel, failedParts } from './model-check.ts';

const names = [
  'separate projections and an MLP',
  'two key-value heads, repeated by Expand',
  'rotary positions by halves, one table for two layers',
  'a gated MLP with gate and up in one matrix',
];

describe('checking a model', () => {
  beforeAll(() => startBackend('cpu'));

  test.each(names)('%s holds', async (name) => {
    const graph = architectures.find((architecture) => architecture.name === name)?.graph();
    if (!graph) throw new Error(`no architecture ${name}`);
    const result = await checkModel(graph, await preparePairs(graph, name));
    expect(result.cutting.patterns).toBe(5);
    expect(result.gradient.checked).toBeGreaterThan(0);
    expect(failedParts(result)).toEqual([]);
  });

  test('a wrong shape constant, mask site or weight is seen', async () => {
    const graph = architectures[0]?.graph();
    if (!graph) throw new Error('no architecture');
    const model = await preparePairs(graph, 'wrong');
    const [first, ...rest] = model.pairs;
    if (!first) throw new Error('no pair');
    const shifted = { ...first, unitAxes: first.unitAxes.slice(1) };
    const cut = await checkModel(graph, { ...model, pairs: [shifted, ...rest] });
    expect(cut.cutting.maxRelativeError).toBe(Infinity);

    const initializers = new Map(model.graph.initializers);
    const weight = first.producers[0]?.weight.tensor ?? '';
    const tensor = initializers.get(weight);
    if (!tensor) throw new Error('no weight');
    initializers.set(weight, {
      ...tensor,
      data: Float32Array.from(tensor.data as Float32Array, (value) => 2 * value),
    });
    const parity = await checkModel(graph, { ...model, graph: { ...model.graph, initializers } });
    expect(parity.parity.maxRelativeError).toBeGreaterThan(1e-3);
    expect(failedParts(parity)).toContain('parity');
  });

  test.each([Number.NaN, 1e30])(
    'a model that answers no finite numbers is refused, and not found to agree with itself: weights of %d',
    async (weight) => {
      const graph = architectures[0]?.graph();
      if (!graph) throw new Error('no architecture');
      const initializers = new Map(
        [...graph.initializers].map(([name, tensor]) => [
          name,
          tensor.dtype === 'float32'
            ? { ...tensor, data: new Float32Array(tensor.data.length).fill(weight) }
            : tensor,
        ]),
      );
      const model = await preparePairs(graph, 'whole');
      await expect(checkModel({ ...graph, initializers }, model)).rejects.toThrow(/no finite number at all/);
    },
  );

  const mlp = (b: GraphBuilder) =>
    b.linear(b.op('Relu', [b.linear(b.input('x', ['n', 8]), b.weight(8, 16))]), b.weight(16, 4));

  test('outputs of which a mask hides some are checked by the others', async () => {
    const b = new GraphBuilder();
    const hidden = b.constant({ dtype: 'bool', dims: [4], data: Uint8Array.of(0, 1, 0, 0) });
    const graph = b.build({ y: [b.op('Where', [hidden, b.scalar(-Infinity), mlp(b)]), ['n', 4]] });
    const result = await checkModel(graph, await preparePairs(graph, 'hidden'));
    expect(failedParts(result)).toEqual([]);
    // Exactly none is what comparing nothing gives.
    expect(result.gradient.maxRelativeError).toBeGreaterThan(0);
  });

  test('gradients that are no numbers do not pass', async () => {
    const b = new GraphBuilder();
    const graph = b.build({ y: [b.op('Sqrt', [mlp(b)]), ['n', 4]] });
    const { gradient } = await checkModel(graph, await preparePairs(graph, 'roots'));
    expect(gradient.maxRelativeError).toBe(Infinity);
  });
});
