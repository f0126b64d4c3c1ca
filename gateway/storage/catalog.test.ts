/** Versions of a model that several uploads activate at once. */
import { beforeAll, expect, test, vi } from 'vitest';
import { plainManifest } from '../../test/support/report-manifest.ts';
import { deployment, type Isolate, isolate } from '../isolate.fixture.ts';
import { listAudit } from './audit.ts';
import { activateVersion, loadCatalog, sameCatalogs } from './catalog.ts';
import { markDeleted } from './deleted-versions.ts';

const manifest = plainManifest();

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

test('a version that is deleted while it is being activated is not, and neither half of that is left', async () => {
  const { db } = here.gateway;
  const model = { ...manifest.model, id: 'raced' };
  const activate = (version: string) =>
    activateVersion(db, {
      manifest: { ...manifest, model: { ...model, version } },
      manifestSha256: '0'.repeat(64),
      actor: 'test',
      nowMs: 1,
    });
  await activate('v1');
  await activate('v2');
  const batch = db.batch.bind(db);
  // Of one that is known, and of one that would be new.
  for (const version of ['v1', 'v3']) {
    vi.spyOn(db, 'batch').mockImplementationOnce(async (looks) => {
      const found = await batch(looks);
      expect(await markDeleted(db, { model: model.id, version, actor: 'other', nowMs: 2 })).toEqual([]);
      return found;
    });
    await expect(activate(version)).rejects.toMatchObject({ code: 'conflict', details: { deletedAtMs: 2 } });
    const catalog = (await loadCatalog(db)).get(model.id);
    expect([catalog?.activeVersion, ...(catalog?.versions.keys() ?? [])]).toEqual(['v2', 'v2']);
    const [last] = await listAudit(db, 1);
    expect(last).toMatchObject({ action: 'artifact.delete', actor: 'other', target: `raced/${version}` });
  }
});

test('is read anew where a version has gone, though the newest and the active one are what they were', async () => {
  const { db } = here.gateway;
  await activateVersion(db, {
    manifest: { ...manifest, model: { ...manifest.model, id: 'other', version: 'v3' } },
    manifestSha256: '0'.repeat(64),
    actor: 'test',
    nowMs: 1,
  });
  const before = await loadCatalog(db);
  await markDeleted(db, { model: 'other', version: 'v1', actor: 'test', nowMs: 1 });
  const after = await loadCatalog(db, before);
  expect([...(after.get('other')?.versions.keys() ?? [])]).toEqual(['v2', 'v3']);
  expect(sameCatalogs(before, after)).toBe(false);
  expect(await loadCatalog(db, after)).toBe(after);
});
