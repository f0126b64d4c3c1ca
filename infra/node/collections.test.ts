import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect, test, vi } from 'vitest';
import { disposables, tinyArtifact } from '../../test/support/node-client.ts';
import { type CollectionKind, observeCollections } from './collections.ts';
import { createLogger } from './log.ts';
import { startNode } from './server.ts';

const scope = disposables();
afterEach(async () => {
  vi.restoreAllMocks();
  await scope.dispose();
});

/** What `--expose-gc` gives contexts made from then on. */
function collector(): (options: { type: 'major' | 'minor' }) => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc');
}

test('tells collections by kind and what they took, until nobody wants to know any more', async () => {
  const gc = collector();
  const seen: [CollectionKind, number][] = [];
  const ignore = observeCollections((kind, seconds) => seen.push([kind, seconds]));
  const kinds = () => seen.map(([kind]) => kind);
  gc({ type: 'minor' });
  await expect.poll(kinds).toContain('minor');
  gc({ type: 'major' });
  await expect.poll(kinds).toContain('major');
  for (const [, seconds] of seen) expect(seconds).toBeGreaterThan(0);
  ignore();
  const count = seen.length;
  gc({ type: 'major' });
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  expect(seen.length).toBe(count);
});

test('a node that cannot listen observes nothing any more', async () => {
  const artifact = await tinyArtifact(scope);
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  scope.onDispose(async () => taken.close());
  const begun = vi.spyOn(PerformanceObserver.prototype, 'observe');
  const ended = vi.spyOn(PerformanceObserver.prototype, 'disconnect');
  const { port } = taken.address() as AddressInfo;
  await expect(
    startNode({ artifact, port, workers: 1 }, { log: createLogger('silent', 'test') }),
  ).rejects.toThrow('cannot listen');
  expect(ended.mock.calls.length).toBe(begun.mock.calls.length);
});
