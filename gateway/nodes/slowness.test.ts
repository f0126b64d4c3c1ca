import { describe, expect, test } from 'vitest';
import { measuredSlowness } from './slowness.ts';

const reported = [{ batch: 1, p50Ms: 10, p95Ms: 12, p99Ms: 14 }];
const dense = [{ batch: 1, p50Ms: 40, p95Ms: 48, p99Ms: 56 }];

/** Level 0 was reported and has run so many times, each taking this. */
function afterRuns(runs: number, executeMs: number) {
  const slowness = measuredSlowness();
  slowness.corrected('v1', 0, reported, 0);
  for (let run = 0; run < runs; run++) slowness.record('v1', 0, 1, executeMs, 0);
  return slowness;
}

describe('the slowness of a node', () => {
  test('is learned at one level and holds for all, within a few runs', () => {
    const [other] = afterRuns(16, 30).corrected('v1', 5, dense, 0);
    expect(other?.p50Ms).toBeCloseTo(120, 3);
    expect(other?.p99Ms).toBeCloseTo(168, 3);
  });

  test('says nothing while hardly anything ran, and is forgotten when nothing runs any more', () => {
    expect(afterRuns(4, 30).corrected('v1', 5, dense, 0)).toEqual(dense);
    expect(afterRuns(40, 30).corrected('v1', 5, dense, 60_000)).toEqual(dense);
  });

  test('goes away as soon as the runs are quick again', () => {
    const slowness = afterRuns(20, 30);
    for (let run = 0; run < 60; run++) slowness.record('v1', 0, 1, 10, 10_000);
    expect(slowness.corrected('v1', 5, dense, 10_000)[0]?.p50Ms).toBeCloseTo(40, 3);
  });

  test('of one version says nothing of another', () => {
    const slowness = afterRuns(20, 30);
    slowness.record('v2', 0, 1, 1000, 0);
    expect(slowness.corrected('v1', 0, reported, 0)[0]?.p50Ms).toBeCloseTo(30, 3);
  });
});
