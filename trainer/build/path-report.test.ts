import { expect, test } from 'vitest';
import { timedProgress } from './path-report.ts';
import { silentProgress } from './progress.ts';

test('counts stages that ran again, that are running, and what an interrupted run had taken', () => {
  let now = 0;
  const progress = timedProgress(silentProgress, () => now);
  progress.stage('prepare', 1).finish();
  const search = progress.stage('search', 10);
  now = 3000;
  expect(progress.seconds()).toEqual(
    new Map([
      ['prepare', 0],
      ['search', 3],
    ]),
  );
  search.finish();
  progress.add(
    new Map([
      ['search', 40],
      ['compensate', 7],
    ]),
  );
  const again = progress.stage('compensate', 1);
  now = 5000;
  again.finish();
  now = 9000;
  expect(progress.seconds()).toEqual(
    new Map([
      ['prepare', 0],
      ['search', 43],
      ['compensate', 9],
    ]),
  );
});
