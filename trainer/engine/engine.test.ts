/** Gradients of weights: the two engines against each other and against central differences; at widths as at masks. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { relativeError } from '../graph/relative-error.ts';
import { trainableWeights } from '../graph/trainable-weights.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { createEngine } from './create-engine.ts';
import { anyStep, expectAgreement, gradientsOn } from './gradients.case.ts';

const DIGITS = new URL('../../examples/digits/digits.onnx', import.meta.url);

const digits = () => prepareModel(readFileSync(DIGITS), 'digits');

describe('the digits model', () => {
  test('names every trained tensor, and nothing else', async () => {
    const { graph } = await digits();
    const found = trainableWeights(graph);
    const floats = [...graph.initializers].filter(
      ([, { dtype, data }]) => dtype === 'float32' && data.length > 1,
    );
    expect(found).toEqual(floats.map(([name]) => name));
  });

  test.each(['kl', 'squared'] as const)(
    'both engines agree on all weights and masks at once, loss %s',
    async (kind) => {
      const model = await digits();
      const step = await anyStep(model, kind);
      const masks = model.pairs.map(({ units }) =>
        Float32Array.from({ length: units }, (_, j) => Math.cos(j) ** 2),
      );
      const options = { graph: model.graph, pairs: model.pairs, weights: trainableWeights(model.graph) };
      const [ours, theirs] = [
        await gradientsOn('onnxruntime', options, { ...step, masks }),
        await gradientsOn('wasm', options, { ...step, masks }),
      ];
      expectAgreement(ours, theirs);
    },
  );

  test('two workers and small micro-batches give the gradients of one', async () => {
    const { graph, ...model } = await digits();
    const step = await anyStep({ graph, ...model });
    const options = { graph, weights: trainableWeights(graph) };
    const whole = await gradientsOn('onnxruntime', options, step);
    const parts = await gradientsOn('onnxruntime', { ...options, workers: 2, microBatch: 1 }, step);
    expectAgreement(parts, whole);
  });

  test('a step sees what was written into the weights, and the loss moves as the gradient says', async () => {
    const { graph, ...model } = await digits();
    const step = await anyStep({ graph, ...model });
    const weights = trainableWeights(graph);
    for (const backend of ['onnxruntime', 'wasm'] as const) {
      const engine = await createEngine({ graph, weights, backend, workers: 1 });
      const { weights: gradients } = await engine.step(step);
      const direction = new Map([...gradients].map(([name, g]) => [name, g.slice()]));
      const slope = [...direction.values()].flatMap((g) => [...g]).reduce((sum, g) => sum + g * g, 0);
      const by = 1e-3 / Math.sqrt(slope);
      const at = async (sign: number) => {
        for (const [name, array] of engine.weights) {
          const g = direction.get(name) as Float32Array;
          for (let i = 0; i < array.length; i++)
            array[i] = (array[i] as number) + sign * by * (g[i] as number);
        }
        return (await engine.step(step)).loss;
      };
      const up = await at(1);
      const down = await at(-2);
      await engine.close();
      expect(Math.abs((up - down) / (2 * by) / slope - 1), backend).toBeLessThan(1e-2);
    }
  });

  test('at widths onnxruntime gives what masking gives', async () => {
    const model = await digits();
    const step = await anyStep(model);
    const widths = model.pairs.map(({ units }, pair) => 1 + ((units * (pair + 1)) % (units - 1)));
    const options = { graph: model.graph, weights: trainableWeights(model.graph), nested: model };
    expectAgreement(
      await gradientsOn('onnxruntime', options, { ...step, widths }),
      await gradientsOn('wasm', options, { ...step, widths }),
    );
  });

  test.each(['onnxruntime', 'wasm'] as const)(
    'several widths at once give the mean of what they give one by one, on %s',
    async (backend) => {
      const model = await digits();
      const batch = await anyStep(model);
      const weights = trainableWeights(model.graph).slice(-6);
      const options = { graph: model.graph, nested: model, weights, backend, workers: 2, microBatch: 2 };
      const engine = await createEngine(options);
      const all = [1, 0.5, 0.2].map((share) => model.pairs.map(({ units }) => Math.ceil(share * units)));
      const losses: number[] = [];
      const sums = new Map(weights.map((name): [string, number[]] => [name, []]));
      for (const widths of all) {
        const { loss, weights: gradients } = await engine.step({ ...batch, widths });
        losses.push(loss);
        for (const [name, gradient] of gradients)
          sums.set(
            name,
            Array.from(gradient, (g, i) => (sums.get(name)?.[i] ?? 0) + g / all.length),
          );
      }
      const together = await engine.stepAt(batch, all);
      await engine.close();
      expect(together.losses).toHaveLength(all.length);
      for (const [i, loss] of together.losses.entries()) expect(loss / (losses[i] ?? 0)).toBeCloseTo(1, 5);
      expect([...together.weights.keys()].toSorted()).toEqual([...sums.keys()].toSorted());
      for (const [name, mean] of together.weights)
        expect(relativeError(mean, sums.get(name) ?? []).relative, name).toBeLessThan(1e-5);
    },
  );

  test('refuses counts that are none before anything starts', async () => {
    const { graph } = await digits();
    const options = { graph, backend: 'onnxruntime' } as const;
    for (const wrong of [
      { workers: 0 },
      { workerThreads: 0.5 },
      { microBatch: 0 },
      { microBatch: Number.NaN },
    ])
      await expect(createEngine({ ...options, ...wrong })).rejects.toMatchObject({ code: 'usage' });
  });

  test('refuses widths that a pair does not have, weights that are not there, and masks beside widths', async () => {
    const model = await digits();
    const step = await anyStep(model);
    const options = { graph: model.graph, nested: model, backend: 'onnxruntime', workers: 1 } as const;
    const engine = await createEngine({ ...options, weights: trainableWeights(model.graph).slice(-2) });
    const widths = model.pairs.map(({ units }) => units);
    await expect(engine.step({ ...step, widths: widths.with(0, 0) })).rejects.toMatchObject({
      code: 'bad-shape',
    });
    await expect(engine.step({ ...step, widths: widths.slice(1) })).rejects.toMatchObject({
      code: 'bad-shape',
    });
    expect((await engine.step({ ...step, widths })).loss).toBeGreaterThan(0);
    await engine.close();
    await expect(createEngine({ ...options, weights: ['nothing'] })).rejects.toMatchObject({
      code: 'bad-model',
    });
    await expect(createEngine({ ...options, pairs: model.pairs })).rejects.toMatchObject({ code: 'usage' });
    const onWasm = createEngine({ graph: model.graph, backend: 'wasm', recompute: true });
    await expect(onWasm).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining('onnxruntime'),
    });
  });
});
