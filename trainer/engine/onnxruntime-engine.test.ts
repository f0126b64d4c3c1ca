/** The two engines on whole models, each the other's reference, and PyTorch's gradients where they were recorded. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Tensor } from '../graph/graph.ts';
import { relativeError } from '../graph/relative-error.ts';
import { trainableWeights } from '../graph/trainable-weights.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { anyStep, expectAgreement, gradientsOn } from './gradients.case.ts';

const GRAPHS = new URL('../../../shared/models/graphs/', import.meta.url);
const present = existsSync(GRAPHS);

const fixture = (name: string, exporter: string) =>
  prepareModel(readFileSync(new URL(`${name}.${exporter}.onnx`, GRAPHS)), name);

const prefix = (units: number, kept: number) =>
  Float32Array.from({ length: units }, (_, unit) => (unit < kept ? 1 : 0));

describe.skipIf(!present)('exported models (skipped where ../shared/models is absent)', () => {
  const models = ['deit_timm', 'vit_hf', 'bert_hf', 'llama_hf', 'swin_timm', 'clip_hf', 'gpt2_hf', 'opt_hf'];
  test.each(models.flatMap((name) => ['dynamo', 'ts'].map((exporter) => ({ name, exporter }))))(
    'onnxruntime agrees with TensorFlow.js on $name by $exporter, in masks and weights, and cut with masked',
    async ({ name, exporter }) => {
      const model = await fixture(name, exporter);
      const { graph, pairs } = model;
      const step = await anyStep(model);
      const options = { graph, weights: trainableWeights(graph) };
      const masks = pairs.map(({ units }) =>
        Float32Array.from({ length: units }, (_, j) => Math.cos(j * 1.7) ** 2),
      );
      expectAgreement(
        await gradientsOn('onnxruntime', { ...options, pairs }, { ...step, masks }),
        await gradientsOn('wasm', { ...options, pairs }, { ...step, masks }),
      );
      const widths = pairs.map(({ units }) => Math.ceil(units * 0.6));
      const kept = pairs.map(({ units }, p) => prefix(units, widths[p] as number));
      const hidden = { ...options, pairs, maskGradients: false };
      expectAgreement(
        await gradientsOn('onnxruntime', { ...options, nested: model }, { ...step, widths }),
        await gradientsOn('onnxruntime', hidden, { ...step, masks: kept }),
      );
    },
  );

  interface Reference {
    readonly loss: number;
    readonly mask: Readonly<Record<string, number[]>>;
    readonly grad: Readonly<Record<string, number[]>>;
  }

  const labelsOf: Readonly<Record<string, (feeds: Readonly<Record<string, Tensor>>) => Int32Array>> = {
    deit_timm: () => Int32Array.of(3, 7),
    /** Each position's label is the next token; the last has none. */
    llama_hf: ({ input_ids }) => {
      const { data, dims } = input_ids as Tensor;
      const length = dims[1] as number;
      return Int32Array.from({ length: data.length }, (_, i) =>
        (i + 1) % length === 0 ? -1 : Number(data[i + 1]),
      );
    },
  };

  const points = Object.keys(labelsOf).flatMap((name) =>
    ['dynamo', 'ts'].flatMap((exporter) => ['ones', 'mixed'].map((at) => ({ name, exporter, at }))),
  );
  test.each(points)('onnxruntime agrees with PyTorch on $name by $exporter at $at masks', async (point) => {
    const { name, exporter, at } = point;
    const model = await fixture(name, exporter);
    const text = (file: string) => JSON.parse(readFileSync(new URL(`${name}.${file}.json`, GRAPHS), 'utf8'));
    const reference = text('masks')[at] as Reference;
    const keys = [0, 1].flatMap((layer) =>
      ['query_key', 'value_projection', 'mlp'].map((slot) => `${layer}.${slot}`),
    );
    const feeds = Object.fromEntries(
      Object.entries(text('io').inputs as Record<string, Recorded>).map(([input, value]) => [
        input,
        tensorOf(value),
      ]),
    );
    const labels = labelsOf[name]?.(feeds) as Int32Array;
    const { graph, pairs } = model;
    const { loss, masks: gradients } = await gradientsOn(
      'onnxruntime',
      { graph, pairs },
      {
        feeds,
        masks: keys.map((key) => Float32Array.from(reference.mask[key] ?? [])),
        loss: { kind: 'cross-entropy', output: 'logits', labels },
      },
    );
    expect(loss).toBeCloseTo(reference.loss, 5);
    for (const [p, key] of keys.entries())
      expect(relativeError(gradients[p] ?? [], reference.grad[key] ?? []).relative, key).toBeLessThan(1e-3);
  });
});

interface Recorded {
  readonly shape: number[];
  readonly datatype: string;
  readonly data: number[];
}

function tensorOf({ shape, datatype, data }: Recorded): Tensor {
  return datatype === 'INT64'
    ? { dtype: 'int64', dims: shape, data: BigInt64Array.from(data, BigInt) }
    : { dtype: 'float32', dims: shape, data: Float32Array.from(data) };
}
