import { expect, test } from 'vitest';
import { measuredTimes } from './measured-times.ts';

const ARTIFACT = { model: 'm', version: 'v1' };
const REPORTED = { profiles: [{ batch: 1, p50Ms: 2, p95Ms: 3, p99Ms: 4 }] };

const run = (batch: number, executeMs: number) => ({
  ...ARTIFACT,
  level: 0,
  batch,
  length: 0,
  networkMs: 1,
  streamed: false,
  requestBytes: 100,
  answerBytes: 0,
  queueMs: 0,
  expectedQueueMs: 0,
  executeMs,
});

test('a batch size that is in use stays known, however many others a client tries', () => {
  const times = measuredTimes();
  for (let other = 2; other < 100; other++) {
    times.recordRequest(run(1, 9), 1000);
    times.recordRequest(run(other, 50), 1000);
  }
  const known = times.executions(ARTIFACT, 0, REPORTED, 0, 1000);
  expect(known.length).toBeLessThan(20);
  expect(known.find(({ batch }) => batch === 1)?.p50Ms).toBeCloseTo(9, 5);
});
