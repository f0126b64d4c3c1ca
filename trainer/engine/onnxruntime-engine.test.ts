/** The two engines on whole models, each the other's reference, and PyTorch's gradients where they were recorded. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { relativeError } from '../graph/relative-error.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import type { BackendName } from './backend.ts';
import { createMaskEngine, type MaskGradients, type MaskStep } from './mask-engine.ts';

const DIGITS = new URL('../../examples/digits/digits.onnx', import.meta.url);
const GRAPHS = new URL('../../../shared/models/graphs/', import.meta.url);
const present = existsSync(GRAPHS);

/** Both engines sum in float32, in different orders. */
const ENGINES_AGREE = 1e-4;

type Model = Awaited<ReturnType<typeof prepareModel>>;

const fixture = (name: string, exporter: string) =>
  prepareModel(readFileSync(new URL(`${name}.${exporter}.onnx`, GRAPHS)), name);

async function stepOn(backend: BackendName, { graph, pairs }: Model, step: MaskStep): Promise<MaskGradients> {
  const engine = await createMaskEngine({ graph, pairs, backend, workers: 1 });
  return engine.step(step).finally(() => engine.close());
}

/** Masks that differ from unit to unit, and a teacher that differs from the model. */
async function anyStep({ graph, pairs, sizes }: Model, kind: 'kl' | 'squared'): Promise<MaskStep> {
  const output = graph.outputs[0]?.name as string;
  const feeds = sampleInputs(graph, { batch: 5, length: sizes[0]?.length ?? 1 }, 3);
  const session = await createOrtSession(writeOnnx(graph));
  const dense = (await session.run(feeds))[output] as Tensor;
  await session.close();
  const data = (dense.data as Float32Array).map((logit, i) => logit + Math.sin(i));
  return {
    feeds,
    masks: pairs.map(({ units }) => Float32Array.from({ length: units }, (_, j) => Math.cos(j * 1.7) ** 2)),
    loss: { kind, output, teacher: { ...dense, data } },
  };
}

async function expectAgreement(model: Model, kind: 'kl' | 'squared' = 'kl'): Promise<void> {
  const step = await anyStep(model, kind);
  const [ours, theirs] = [await stepOn('onnxruntime', model, step), await stepOn('wasm', model, step)];
  expect(Math.abs(ours.loss - theirs.loss) / theirs.loss).toBeLessThan(ENGINES_AGREE);
  for (const [p, { name }] of model.pairs.entries()) {
    const error = relativeError(ours.gradients[p] ?? [], theirs.gradients[p] ?? []);
    expect(error.relative, `${name}: ${JSON.stringify(error)}`).toBeLessThan(ENGINES_AGREE);
  }
}

test.each(['kl', 'squared'] as const)(
  'onnxruntime agrees with TensorFlow.js on the digits model, loss %s',
  async (kind) => {
    await expectAgreement(await prepareModel(readFileSync(DIGITS), 'digits'), kind);
  },
);

describe.skipIf(!present)('exported models (skipped where ../shared/models is absent)', () => {
  const models = ['deit_timm', 'vit_hf', 'bert_hf', 'llama_hf', 'swin_timm', 'clip_hf', 'gpt2_hf', 'opt_hf'];
  test.each(models.flatMap((name) => ['dynamo', 'ts'].map((exporter) => ({ name, exporter }))))(
    'onnxruntime agrees with TensorFlow.js on $name by $exporter',
    async ({ name, exporter }) => {
      await expectAgreement(await fixture(name, exporter));
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
    const { loss, gradients } = await stepOn('onnxruntime', model, {
      feeds,
      masks: keys.map((key) => Float32Array.from(reference.mask[key] ?? [])),
      loss: { kind: 'cross-entropy', output: 'logits', labels },
    });
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
