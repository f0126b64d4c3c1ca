import { describe, expect, test } from 'vitest';
import type { BoundDataset } from '../data/bind-dataset.ts';
import type { MaskEngine } from '../engine/mask-engine.ts';
import type { Pair } from '../pairs/pair.ts';
import { defaultInclusion, inclusionStep } from '../search/inclusion.ts';
import { randomSource } from '../search/random.ts';
import { silentProgress } from './progress.ts';
import { runSearch, type SearchContext, sampleLabels } from './search-stage.ts';

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

/** An engine whose loss is NaN from a given step on, as a diverging model's is. */
function divergingEngine(after: number): MaskEngine {
  let step = 0;
  return {
    backend: 'test',
    workers: 1,
    step: async () => ({
      loss: step++ < after ? 1 : Number.NaN,
      gradients: [Float32Array.of(0.1, 0.2, 0.3)],
    }),
    close: async () => {},
  };
}

describe('search stage', () => {
  test('a loss that is not a number stops with the step, and the last good state is kept', async () => {
    const saved: number[] = [];
    const context: SearchContext = {
      engine: divergingEngine(5),
      pairs: [pair],
      pool: {
        data,
        task: { name: 'distil', outputs: ['y'] },
        output: 'y',
        answer: [2],
        block: 4,
        indices: [0, 1, 2, 3],
        holdout: [],
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
    };
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
