import { availableParallelism } from 'node:os';
import { afterEach, expect, test } from 'vitest';
import { computeOn, computeProvider, computeThreads } from './compute.ts';
import { startSessionPool } from './session-pool.ts';

afterEach(() => computeOn({ threads: availableParallelism(), provider: 'cpu' }));

test('all cores and the cpu, until a command says otherwise', () => {
  expect([computeThreads(), computeProvider()]).toEqual([availableParallelism(), 'cpu']);
  computeOn({ threads: 3 });
  expect([computeThreads(), computeProvider()]).toEqual([3, 'cpu']);
});

test('a pool takes as many threads as the process is to, and one on a GPU', async () => {
  computeOn({ threads: 3 });
  const wide = startSessionPool(0);
  computeOn({ provider: 'webgpu' });
  const narrow = startSessionPool(0);
  expect([wide.size, narrow.size]).toEqual([3, 1]);
  await Promise.all([wide.close(), narrow.close()]);
});
