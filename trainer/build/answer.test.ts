/** Answers as onnxruntime computes them, against the same by hand. */
import { describe, expect, test } from 'vitest';
import type { Graph, Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import {
  type AnswerPart,
  type AnswerPlan,
  answerGraph,
  answerName,
  answerShape,
  measuredGraph,
} from './answer.ts';

/** Outputs that are the inputs: [batch, 2, 3], [batch, 2, 3], [batch, 4], and a mask [batch, 2]. */
const graph: Graph = {
  name: 'through',
  irVersion: 8,
  opsets: { '': 17 },
  inputs: [
    { name: 'hidden_in', dtype: 'float32', dims: ['batch', 2, 3] },
    { name: 'pooled_in', dtype: 'float32', dims: ['batch', 4] },
    { name: 'other_in', dtype: 'float32', dims: ['batch', 4] },
    { name: 'mask', dtype: 'int64', dims: ['batch', 2] },
  ],
  outputs: [
    { name: 'hidden', dtype: 'float32', dims: ['batch', 2, 3] },
    { name: 'pooled', dtype: 'float32', dims: ['batch', 4] },
    { name: 'other', dtype: 'float32', dims: ['batch', 4] },
  ],
  initializers: new Map(),
  nodes: ['hidden', 'pooled', 'other'].map((name) => ({
    name,
    opType: 'Identity',
    domain: '',
    inputs: [`${name}_in`],
    outputs: [name],
    attributes: {},
  })),
};

const hidden = [1, 2, 2, 0, 3, 4, -2, 0, 0, 5, 5, 5];
const pooled = [3, 0, 4, 0, 0, 1, 0, 0];
const other = [0, 0, 0, 2, 1, 1, 1, 1];
const float = (dims: number[], values: number[]): Tensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from(values),
});
const feeds = {
  hidden_in: float([2, 2, 3], hidden),
  pooled_in: float([2, 4], pooled),
  other_in: float([2, 4], other),
  mask: { dtype: 'int64', dims: [2, 2], data: BigInt64Array.of(1n, 1n, 1n, 0n) } as Tensor,
};

const part = (output: string, meaning: AnswerPart['meaning'], scale = 1): AnswerPart => ({
  output,
  meaning,
  shape: output === 'hidden' ? [2, 3] : [4],
  scale,
});

function plan(parts: AnswerPart[], more: Partial<AnswerPlan> = {}): AnswerPlan {
  const outputs = parts.map(({ output }) => output);
  return { name: 'distil', outputs, form: 'plain', parts, loss: 'squared', measure: 'fidelity', ...more };
}

async function run(
  made: Graph,
  fed: Readonly<Record<string, Tensor>> = feeds,
): Promise<{ dims: readonly number[]; values: number[] }> {
  const session = await createOrtSession(writeOnnx(made));
  try {
    const needed = Object.fromEntries(made.inputs.map(({ name }) => [name, fed[name] as Tensor]));
    const { dims, data } = (await session.run(needed))[answerName(made)] as Tensor;
    return { dims, values: Array.from(data, Number) };
  } finally {
    await session.close();
  }
}

function expectValues(values: readonly number[], expected: readonly number[]): void {
  expect(values).toHaveLength(expected.length);
  for (const [i, value] of values.entries()) expect(value, `at ${i}`).toBeCloseTo(expected[i] as number, 5);
}

const unit = (row: number[]) => row.map((value) => value / Math.hypot(...row));

describe('the answer', () => {
  test('scores stay as they are without what other outputs need, padded tokens become zero', async () => {
    const scores = plan([part('hidden', 'scores')]);
    expect(answerGraph(graph, scores).nodes).toEqual(graph.nodes.slice(0, 1));
    const padded = await run(answerGraph(graph, { ...scores, mask: 'mask' }));
    expectValues(padded.values, [...hidden.slice(0, 9), 0, 0, 0]);
    expect(padded.dims).toEqual([2, 2, 3]);
    const others = await run(answerGraph(graph, { ...scores, mask: 'mask', maskTokens: 5 }));
    expectValues(others.values, hidden);
  });

  test('directions become unit vectors, several of one rank side by side', async () => {
    const vectors = plan([part('pooled', 'direction'), part('other', 'direction')]);
    const { dims, values } = await run(answerGraph(graph, vectors));
    expect(dims).toEqual([2, 8]);
    expect(answerShape(vectors)).toEqual([8]);
    expectValues(values, [
      ...unit(pooled.slice(0, 4)),
      ...unit(other.slice(0, 4)),
      ...unit(pooled.slice(4)),
      ...unit(other.slice(4)),
    ]);
  });

  test('outputs of different rank are flattened, scores as roots of probabilities', async () => {
    const joint = plan([part('hidden', 'values', 0.5), part('pooled', 'probabilities', 2)], {
      form: 'joint',
    });
    const { dims, values } = await run(answerGraph(graph, joint));
    expect(dims).toEqual([2, 10]);
    expect(answerShape(joint)).toEqual([10]);
    const roots = (row: number[]) => {
      const sum = row.reduce((total, value) => total + Math.exp(value), 0);
      return row.map((value) => 2 * Math.sqrt(Math.exp(value) / sum));
    };
    const halves = hidden.map((value) => value / 2);
    expectValues(values, [
      ...halves.slice(0, 6),
      ...roots(pooled.slice(0, 4)),
      ...halves.slice(6),
      ...roots(pooled.slice(4)),
    ]);
  });

  test('scores are read off probabilities, one number tells two classes apart', async () => {
    const chances = [0.5, 0.25, 0.25, 0, 1, 0, 0, 0];
    const softmax = (row: number[]) => {
      const sum = row.reduce((total, value) => total + Math.exp(value), 0);
      return row.map((value) => Math.exp(value) / sum);
    };
    const rows = (values: number[], width: number) =>
      Array.from({ length: values.length / width }, (_, row) =>
        softmax(values.slice(row * width, (row + 1) * width)),
      );
    const many = plan([{ ...part('pooled', 'scores'), chances: true }], { loss: 'kl', measure: 'distil' });
    const fed = { ...feeds, pooled_in: float([2, 4], chances) };
    expectValues(rows((await run(answerGraph(graph, many), fed)).values, 4).flat(), chances);

    // One number an example: of an axis of its own, or of none.
    for (const dims of [['batch', 1], ['batch']]) {
      const single: Graph = {
        ...graph,
        inputs: [{ name: 'number', dtype: 'float32', dims }],
        outputs: [{ name: 'pooled', dtype: 'float32', dims }],
        nodes: [{ ...(graph.nodes[1] as Graph['nodes'][number]), inputs: ['number'] }],
      };
      const given = (...values: number[]) => ({ number: float(dims.length === 2 ? [2, 1] : [2], values) });
      const one = { ...part('pooled', 'scores'), shape: [1] };
      const logit = plan([one], { loss: 'kl', measure: 'classification' });
      const sigmoid = (value: number) => 1 / (1 + Math.exp(-value));
      const both = (value: number) => [1 - value, value];
      expect(answerShape(logit)).toEqual([2]);
      for (const made of [answerGraph(single, logit), measuredGraph(single, logit)]) {
        const { dims: shape, values } = await run(made, given(2, -3));
        expect(shape).toEqual([2, 2]);
        expectValues(rows(values, 2).flat(), [...both(sigmoid(2)), ...both(sigmoid(-3))]);
      }
      const chance = plan([{ ...one, chances: true }], { loss: 'kl', measure: 'classification' });
      expectValues(
        rows((await run(answerGraph(single, chance), given(0.75, 1))).values, 2).flat(),
        [0.25, 0.75, 0, 1],
      );
      const number = await run(
        answerGraph(single, plan([{ ...one, meaning: 'values', scale: 2 }])),
        given(2, -3),
      );
      expect(number).toEqual({ dims: [2, 1], values: [4, -6] });
    }
  });

  test('towers are scored among the vectors of the other tower, and measured as vectors', async () => {
    const vectors = float(
      [3, 8],
      [...[1, 0, 0, 0, 0, 1, 0, 0], ...[0, 1, 0, 0, 0, 0, 1, 0], ...[0, 0, 1, 0, 0, 0, 0, 1]],
    );
    const towers = plan([part('pooled', 'direction'), part('other', 'direction')], {
      name: 'contrastive',
      form: 'bank',
      measure: 'contrastive',
      loss: 'kl',
      bank: { vectors, temperature: 10 },
    });
    const { dims, values } = await run(answerGraph(graph, towers));
    expect(dims).toEqual([2, 2, 3]);
    expect(answerShape(towers)).toEqual([2, 3]);
    // pooled against the bank's second halves, other against its first.
    expectValues(values, [...[0, 8, 0], ...[0, 0, 0], ...[10, 0, 0], ...[5, 5, 5]]);
    const measured = measuredGraph(graph, towers);
    expect((await run(measured)).dims).toEqual([2, 8]);
    expect(answerName(measured)).toBe(answerName(answerGraph(graph, towers)));
  });

  test('scores that are searched by their values are measured as scores, by the same name', async () => {
    const searched = plan([part('pooled', 'values', 0.1)], {
      name: 'classification',
      measure: 'classification',
    });
    expectValues(
      (await run(answerGraph(graph, searched))).values,
      pooled.map((value) => value / 10),
    );
    const measured = measuredGraph(graph, searched);
    expectValues((await run(measured)).values, pooled);
    expect(answerName(measured)).toBe(answerName(answerGraph(graph, searched)));
  });
});
