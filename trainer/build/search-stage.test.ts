import { describe, expect, test } from 'vitest';
import type { BoundDataset } from '../data/bind-dataset.ts';
import { createMaskEngine, type MaskEngine } from '../engine/mask-engine.ts';
import { type LimitEvent, limitLog } from '../engine/memory-limits.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { Pair } from '../pairs/pair.ts';
import { defaultInclusion, type InclusionState, inclusionStep } from '../search/inclusion.ts';
import { randomSource } from '../search/random.ts';
import { silentProgress } from './progress.ts';
import { estimateCurvature, runSearch, type SearchContext, sampleLabels } from './search-stage.ts';

const pair: Pair = {
  name: 'mlp',
  kind: 'sequential',
  heads: 1,
  units: 3,
  flopsPerUnit: 1,
  paramsPerUnit: 1,
  unitAxes: [],
  maskSites: [],
  producers: [],
  consumers: [],
};

const split = {
  count: 4,
  feeds: async () => ({}),
};

const data: BoundDataset = {
  name: 'none',
  fields: [],
  train: split,
  test: split,
  sha256: '',
  recipe: {},
  length: 1,
};

/** An engine whose loss, or one of its gradients, is NaN from a given step on, as a diverging model's is. */
function divergingEngine(after: number, what: 'loss' | 'gradient'): MaskEngine {
  let step = 0;
  return {
    backend: 'test',
    passedOver: [],
    workers: 1,
    async step() {
      const lost = step++ < after ? 0 : Number.NaN;
      return {
        loss: 1 + (what === 'loss' ? lost : 0),
        gradients: [Float32Array.of(0.1, 0.2 + (what === 'gradient' ? lost : 0), 0.3)],
      };
    },
    limits: () => ({ recompute: false }),
    limit: () => {},
    close: async () => {},
  };
}

/** An engine whose numbers depend on how much it computes at once, as sums do, and whose memory runs out at a step, if at all. */
function shortOfMemory(at: number): MaskEngine {
  let step = 0;
  let microBatch = 32;
  return {
    backend: 'test',
    passedOver: [],
    workers: 1,
    async step() {
      if (step++ === at) microBatch /= 2;
      return { loss: 1, gradients: [Float32Array.of(-microBatch / 100, 0.2, 0.3)] };
    },
    limits: () => ({ microBatch, recompute: false }),
    limit(limits) {
      microBatch = limits.microBatch ?? microBatch;
    },
    close: async () => {},
  };
}

const contextOf = (engine: MaskEngine): SearchContext => ({
  engine,
  pairs: [pair],
  pool: {
    data,
    task: {
      name: 'distil',
      outputs: ['y'],
      form: 'plain',
      parts: [{ output: 'y', meaning: 'scores', shape: [2], scale: 1 }],
      loss: 'kl',
      measure: 'distil',
    },
    output: 'y',
    answer: [2],
    block: 4,
    indices: [0, 1, 2, 3],
    holdout: [],
    all: [0, 1, 2, 3],
  },
  teacher: {
    rows: async (places) => ({
      dtype: 'float32',
      dims: [places.length, 2],
      data: new Float32Array(2 * places.length),
    }),
  },
  batch: 2,
  loss: 'distil',
  seed: 0,
});

describe('search stage', () => {
  test('a run that goes on halves its micro-batch where the killed one did, and ends alike', async () => {
    const scales = { curvature: Float64Array.of(1, 1, 1), cost: Float64Array.of(1, 1, 1) };
    const form = {
      steps: 40,
      step: (state: InclusionState, gradient: Float64Array) =>
        inclusionStep(state, gradient, scales, { ...defaultInclusion, steps: 40 }),
    };
    const search = (engine: MaskEngine, events: LimitEvent[], from?: InclusionState, kept = new Map()) => {
      const limits = limitLog([...events], async (all) => void events.splice(0, events.length, ...all));
      const save = async (state: InclusionState) => void kept.set(state.step, state);
      const stage = silentProgress.stage('search', 1);
      return runSearch({ ...contextOf(engine), limits }, form, from, save, stage);
    };
    const [events, kept] = [[] as LimitEvent[], new Map<number, InclusionState>()];
    const whole = await search(shortOfMemory(27), events, undefined, kept);
    expect(events).toEqual([{ stage: 'search', step: 27, microBatch: 16, recompute: false }]);
    // Killed behind step 27: the last state kept is of step 20 or 30, and memory suffices the second time.
    for (const step of [20, 30]) {
      const resumed = await search(shortOfMemory(Number.NaN), [...events], kept.get(step));
      expect(resumed).toEqual(whole);
    }
    const forgetful = await search(shortOfMemory(Number.NaN), [], kept.get(20));
    expect(forgetful.dual).not.toEqual(whole.dual);
  });

  test.each(['loss', 'gradient'] as const)(
    'a %s that is not a number stops with the step, and the last good state is kept',
    async (what) => {
      const saved: number[] = [];
      const context = contextOf(divergingEngine(5, what));
      const scales = { curvature: Float64Array.of(1, 1, 1), cost: Float64Array.of(1, 1, 1) };
      const run = runSearch(
        context,
        {
          steps: defaultInclusion.steps,
          step: (state, gradient) => inclusionStep(state, gradient, scales, defaultInclusion),
        },
        undefined,
        async (state) => void saved.push(state.step),
        silentProgress.stage('search', 1),
      );
      await expect(run).rejects.toMatchObject({
        code: 'numerical-failure',
        message: expect.stringContaining('step 5'),
      });
      expect(saved.at(-1)).toBe(5);
    },
  );

  test('a curvature that is not a number is said before it is kept', async () => {
    const context = contextOf(divergingEngine(3, 'gradient'));
    await expect(estimateCurvature(context, silentProgress.stage('curvature', 1))).rejects.toMatchObject({
      code: 'numerical-failure',
      message: 'The gradient of unit 1 is not finite in batch 3 of the curvature.',
    });
  });

  test('labels are drawn with the probabilities that the logits say', () => {
    const source = randomSource(3, 98, 0);
    const rows = 4000;
    const logits = {
      dtype: 'float32' as const,
      dims: [rows, 3],
      data: new Float32Array(rows * 3).map((_, i) => Math.log([0.2, 0.3, 0.5][i % 3]!)),
    };
    const labels = sampleLabels(logits, () => source.uniform());
    const share = (label: number) => labels.filter((drawn) => drawn === label).length / rows;
    expect(share(0)).toBeCloseTo(0.2, 1);
    expect(share(1)).toBeCloseTo(0.3, 1);
    expect(share(2)).toBeCloseTo(0.5, 1);
  });
});

describe('curvature of answers that are no scores', () => {
  const [inputs, units, outputs, examples] = [3, 80, 40, 64];
  const wave = (dims: number[], by: number): Tensor => ({
    dtype: 'float32',
    dims,
    data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) =>
      Math.sin(by * (i + 1) ** 2),
    ),
  });
  const [first, second, x] = [
    wave([inputs, units], 0.7),
    wave([units, outputs], 1.1),
    wave([examples, inputs], 2.3),
  ];
  const node = (opType: string, from: string[], to: string) => ({
    name: to,
    opType,
    domain: '',
    inputs: from,
    outputs: [to],
    attributes: {},
  });
  const graph: Graph = {
    name: 'two linears',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [{ name: 'x', dtype: 'float32', dims: ['batch', inputs] }],
    outputs: [{ name: 'y', dtype: 'float32', dims: ['batch', outputs] }],
    initializers: new Map([
      ['first', first],
      ['second', second],
    ]),
    nodes: [node('MatMul', ['x', 'first'], 'hidden'), node('MatMul', ['hidden', 'second'], 'y')],
  };
  const matrix = ({ data, dims }: Tensor, i: number, j: number) => Number(data[i * (dims[1] as number) + j]);
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  const hidden = (example: number, unit: number) =>
    sum(range(inputs).map((i) => matrix(x, example, i) * matrix(first, i, unit)));
  const rowsOf = (tensor: Tensor, rows: readonly number[]): Tensor => {
    const width = tensor.dims[1] as number;
    return {
      dtype: 'float32',
      dims: [rows.length, width],
      data: Float32Array.from(rows.flatMap((row) => range(width).map((i) => matrix(tensor, row, i)))),
    };
  };

  test('is the mean squared length of the answer in each mask', async () => {
    const answers: Tensor = {
      dtype: 'float32',
      dims: [examples, outputs],
      data: Float32Array.from(
        range(examples).flatMap((e) =>
          range(outputs).map((o) => sum(range(units).map((u) => hidden(e, u) * matrix(second, u, o)))),
        ),
      ),
    };
    const own = { count: examples, feeds: async (rows: readonly number[]) => ({ x: rowsOf(x, rows) }) };
    const masked: Pair = {
      ...pair,
      units,
      maskSites: [{ tensor: 'hidden', axis: 1, outer: 1, inner: 1, trailing: 0 }],
    };
    const engine = await createMaskEngine({ graph, pairs: [masked], backend: 'onnxruntime', workers: 1 });
    const curvature = await estimateCurvature(
      {
        engine,
        pairs: [masked],
        pool: {
          data: { ...data, train: own, test: own },
          task: {
            name: 'distil',
            outputs: ['y'],
            form: 'plain',
            parts: [{ output: 'y', meaning: 'values', shape: [outputs], scale: 1 }],
            loss: 'squared',
            measure: 'fidelity',
          },
          output: 'y',
          answer: [outputs],
          block: 4,
          indices: range(examples),
          holdout: [],
          all: [],
        },
        teacher: { rows: async (places) => rowsOf(answers, places) },
        batch: 32,
        loss: 'distil',
        seed: 1,
      },
      silentProgress.stage('curvature', 1),
    ).finally(() => engine.close());
    // By hand: |dy/dM_u|^2 = hidden_u^2 |second_u|^2. A unit's estimate scatters by a third, their mean by far less.
    const ratios = range(units).map((u) => {
      const wanted =
        (sum(range(examples).map((e) => hidden(e, u) ** 2)) / examples) *
        sum(range(outputs).map((o) => matrix(second, u, o) ** 2));
      return (curvature[u] as number) / wanted;
    });
    expect(sum(ratios) / units).toBeGreaterThan(0.85);
    expect(sum(ratios) / units).toBeLessThan(1.15);
    for (const ratio of ratios) {
      expect(ratio).toBeGreaterThan(0.3);
      expect(ratio).toBeLessThan(2.5);
    }
  });
});
