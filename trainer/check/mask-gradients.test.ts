import { existsSync, readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { startBackend } from '../engine/backend.ts';
import type { Tensor } from '../graph/graph.ts';
import { createInterpreter } from '../graph/interpret.ts';
import { relativeError } from '../graph/relative-error.ts';
import { toDevice } from '../graph/value.ts';
import { prepareModel } from '../pairs/prepare.ts';

/** Tiny models with random weights, and mask gradients that PyTorch computed for them. */
const graphs = '../shared/models/graphs';

interface Reference {
  readonly loss: number;
  readonly mask: Readonly<Record<string, number[]>>;
  readonly grad: Readonly<Record<string, number[]>>;
}

/** In the order of a layer's pairs. */
const SLOTS = ['query_key', 'value_projection', 'mlp'];

function inputsOf(name: string): Record<string, Tensor> {
  const { inputs } = JSON.parse(readFileSync(`${graphs}/${name}.io.json`, 'utf8'));
  return Object.fromEntries(
    Object.entries(inputs).map(([input, values]) => {
      const { shape, datatype, data } = values as { shape: number[]; datatype: string; data: number[] };
      return [
        input,
        datatype === 'INT64'
          ? { dtype: 'int64', dims: shape, data: BigInt64Array.from(data, BigInt) }
          : { dtype: 'float32', dims: shape, data: Float32Array.from(data) },
      ];
    }),
  );
}

/** Mean cross-entropy of rows of logits. */
function crossEntropy(logits: tf.Tensor2D, labels: readonly number[]): tf.Scalar {
  const chosen = tf.oneHot(tf.tensor1d([...labels], 'int32'), logits.shape[1]);
  return tf.neg(tf.div(tf.sum(tf.mul(chosen, tf.logSoftmax(logits))), labels.length));
}

const losses: Readonly<
  Record<string, (logits: tf.Tensor, feeds: Readonly<Record<string, Tensor>>) => tf.Scalar>
> = {
  deit_timm: (logits) => crossEntropy(logits as tf.Tensor2D, [3, 7]),
  llama_hf: (logits, feeds) => {
    const [batch = 0, length = 0, classes = 0] = logits.shape;
    const ids = Array.from(feeds.input_ids?.data ?? [], Number);
    const rows = tf.reshape(tf.slice(logits, [0, 0, 0], [batch, length - 1, classes]), [-1, classes]);
    return crossEntropy(
      rows as tf.Tensor2D,
      ids.filter((_, i) => i % length > 0),
    );
  },
};

describe.skipIf(!existsSync(graphs))(`mask gradients by PyTorch (needs ${graphs})`, () => {
  beforeAll(() => startBackend('cpu'));

  const cases = Object.keys(losses).flatMap((name) =>
    ['dynamo', 'ts'].flatMap((exporter) => ['ones', 'mixed'].map((at) => ({ name, exporter, at }))),
  );
  test.each(cases)('$name by $exporter at $at masks', async ({ name, exporter, at }) => {
    const model = await prepareModel(readFileSync(`${graphs}/${name}.${exporter}.onnx`), name);
    const reference = JSON.parse(readFileSync(`${graphs}/${name}.masks.json`, 'utf8'))[at] as Reference;
    const keys = [0, 1].flatMap((layer) => SLOTS.map((slot) => `${layer}.${slot}`));
    expect(model.pairs.map(({ units }) => units)).toEqual(keys.map((key) => reference.mask[key]?.length));

    const feeds = inputsOf(name);
    const interpreter = createInterpreter(model.graph, {
      outputs: ['logits'],
      maskSites: model.pairs.map(({ maskSites }) => maskSites),
    });
    const { value, grads } = tf.valueAndGrads((...masks: tf.Tensor[]) => {
      const [logits] = interpreter.run(feeds, masks as tf.Tensor1D[]);
      if (!logits) throw new Error('no logits');
      return losses[name]?.(toDevice(logits), feeds) as tf.Scalar;
    })(keys.map((key) => tf.tensor1d(reference.mask[key] ?? [])));

    expect(value.dataSync()[0]).toBeCloseTo(reference.loss, 5);
    for (const [p, key] of keys.entries()) {
      const { relative } = relativeError(grads[p]?.dataSync() ?? [], reference.grad[key] ?? []);
      expect(relative, key).toBeLessThan(1e-3);
    }
  });
});
