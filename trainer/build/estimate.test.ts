import { describe, expect, test } from 'vitest';
import { openMnist } from '../data/idx-dataset.ts';
import { readOnnxFile } from '../graph/onnx-load.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { nestedDraw } from '../recovery/draw-levels.ts';
import { momentExamples } from './calibration.ts';
import { type BuildWork, estimateBuild, stagesOf } from './estimate.ts';
import { buildOptionsSchema } from './options.ts';

const work: BuildWork = {
  shares: [0.25, 0.5, 0.75, 1],
  examples: { statistics: 10, answered: 100, heldOut: 20, tested: 1000 },
  statistics: 2,
  // 1 for a dense example, 0.4 for one of a quarter.
  pass: { fixed: 0.2, slope: 0.8 },
  searchSteps: 144,
  searchStep: 3,
  recovery: { steps: 10, draw: { always: 2, between: 1 }, answers: 64, level: { fixed: 1, slope: 4 } },
  refit: { streams: 7, level: 11, times: 2 },
  latency: { rounds: 5, runs: [{ fixed: 0.1, slope: 0 }] },
};
const secondsOf = (changed: Partial<BuildWork> = {}) =>
  Object.fromEntries(stagesOf({ ...work, ...changed }).map(({ stage, seconds }) => [stage, seconds]));

describe('what a build will take', () => {
  test('counts every stage as often as a build does it', () => {
    const refits = 7 + 3 * 11 + 3 * 20 * (0.4 + 0.6 + 0.8);
    expect(secondsOf()).toEqual({
      calibrate: 20,
      teacher: expect.closeTo(120),
      'curvature and search': 432,
      // The two sparsest levels, the one between, and the dense model's answers: the dense level has nowhere to go.
      recover: expect.closeTo(10 * (2 + 3 + 4 + 64)),
      compensate: expect.closeTo(2 * refits),
      measure: expect.closeTo(1000 * (0.4 + 0.6 + 0.8 + 1)),
      latency: expect.closeTo(5 * 4 * 0.1),
    });
  });

  test('without compensation nothing is refitted, and of one nested set the sparsest and the dense level are in every step', () => {
    expect(secondsOf({ refit: undefined }).compensate).toBe(0);
    const nested = { ...work.recovery, answers: 0, draw: { ...nestedDraw, between: 1 } };
    expect(secondsOf({ recovery: nested }).recover).toBeCloseTo(10 * (2 + 3.5 + 5));
  });

  test('statistics end where there are enough rows for the widest activation', () => {
    const moments = new Map([
      ['x', { size: 100, count: 50 * 64, sum: new Float64Array(0), gram: new Float64Array(0) }],
    ]);
    // 64 rows an entry, 50 rows an example.
    expect(momentExamples(moments, 64, 8192)).toBe(128);
    expect(momentExamples(moments, 64, 90)).toBe(90);
    expect(momentExamples(new Map(), 64, 90)).toBe(0);
  });

  test('is tried on the model itself: all stages take time, and memory grows with what is held', async () => {
    const file = new URL('../../examples/digits/digits.onnx', import.meta.url).pathname;
    const prepared = await preparePairs(readOnnxFile(file), 'digits');
    const dataset = await openMnist();
    const options = buildOptionsSchema.parse({ id: 'digits', levels: 3, workers: 1, batch: 8, recover: 2 });
    const few = await estimateBuild(prepared, dataset, { ...options, testSamples: 100 });
    expect(few.stages.filter(({ seconds }) => !(seconds > 0))).toEqual([]);
    expect(few.seconds).toBeCloseTo(few.stages.reduce((sum, { seconds }) => sum + seconds, 0));
    expect(few.memoryBytes).toBeGreaterThan(process.memoryUsage().rss);
    expect(few.notes).toEqual([]);
  });
});
