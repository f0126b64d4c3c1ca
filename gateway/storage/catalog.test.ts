/** Versions of a model that several uploads activate at once. */
import { beforeAll, expect, test, vi } from 'vitest';
import { reportLevel, reportManifest } from '../../test/support/report-manifest.ts';
import { deployment, type Isolate, isolate } from '../isolate.fixture.ts';
import { listAudit } from './audit.ts';
import { activateVersion, loadCatalog } from './catalog.ts';

const quality = { metric: 'accuracy' as const, value: 0.9, low: 0.8, high: 1, samples: 10 };
const manifest = reportManifest([reportLevel({ level: 0, relativeFlops: 1 }, { quality, latency: [] })]);

let here: Isolate;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  here = isolate(bindings);
  return dispose;
});

test('each goes in the trail from what the one before activated', async () => {
  const { db } = here.gateway;
  const versions = ['v1', 'v2', 'v3', 'v4'];
  await Promise.all(
    versions.map((version) =>
      activateVersion(db, {
        manifest: { ...manifest, model: { ...manifest.model, version } },
        manifestSha256: '0'.repeat(64),
        actor: 'test',
        nowMs: 1,
      }),
    ),
  );
  const steps = (await listAudit(db, 10, undefined)).toReversed();
  const went = steps.map(({ target }) => target.split('/')[1]);
  expect(went.toSorted()).toEqual(versions);
  expect(steps.map(({ detail }) => (detail as { from: unknown }).from)).toEqual([null, ...went.slice(0, -1)]);
  expect(steps[0]?.detail).toMatchObject({ manifestSha256: '0'.repeat(64) });
  expect((await loadCatalog(db)).get(manifest.model.id)?.activeVersion).toBe(went.at(-1));
});

test('is read anew only where something has changed, as versions stay for ever', async () => {
  const { db } = here.gateway;
  const activate = (version: string, nowMs: number) =>
    activateVersion(db, {
      manifest: { ...manifest, model: { ...manifest.model, id: 'other', version } },
      manifestSha256: '0'.repeat(64),
      actor: 'test',
      nowMs,
    });
  await activate('v1', 1);
  const first = await loadCatalog(db);
  const batch = vi.spyOn(db, 'batch');
  expect(await loadCatalog(db, first)).toBe(first);
  expect(batch).not.toHaveBeenCalled();
  batch.mockRestore();

  await activate('v2', 1);
  const second = await loadCatalog(db, first);
  expect([...(second.get('other')?.versions.keys() ?? [])]).toEqual(['v1', 'v2']);
  // Active again, in the same millisecond.
  await activate('v1', 1);
  expect((await loadCatalog(db, second)).get('other')?.activeVersion).toBe('v1');
});
