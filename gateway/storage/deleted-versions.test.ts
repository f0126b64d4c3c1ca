/** A deletion that breaks off between the database and the bucket, and in the bucket. */
import { beforeAll, expect, test, vi } from 'vitest';
import { plainManifest } from '../../test/support/report-manifest.ts';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';
import { activateVersion } from './catalog.ts';

const manifest = plainManifest();

/** So many objects a page, and so many deletions that reach the bucket. */
const PAGE = 2;
let reach = Number.POSITIVE_INFINITY;
let here: Isolate;
let bucket: R2Bucket;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  bucket = bindings.ARTIFACTS;
  const faulty = {
    head: (key: string) => bucket.head(key),
    list: (options: R2ListOptions) => bucket.list({ limit: PAGE, ...options }),
    async delete(keys: string | string[]) {
      if (reach-- <= 0) throw new Error('the bucket is away');
      await bucket.delete(keys);
    },
  };
  here = isolate({ ...bindings, ARTIFACTS: faulty as unknown as R2Bucket });
  vi.spyOn(console, 'error').mockImplementation(() => {});
  return dispose;
});

const ask = (method: string, path: string) =>
  here.ask(method, `/v1/artifacts/digits${path}`, secrets.operatorToken);
const there = async (version: string) =>
  (await bucket.list({ prefix: `artifacts/digits/${version}/` })).objects.map(({ key }) => key.split('/')[3]);

test('goes on where it was, with the version offered to nobody meanwhile', async () => {
  const files = ['a.bin', 'b.bin', 'c.bin', 'd.bin', 'e.bin', 'manifest.json'];
  for (const version of ['v1', 'v10']) {
    for (const file of files) await bucket.put(`artifacts/digits/${version}/${file}`, file);
    await activateVersion(here.gateway.db, {
      manifest: { ...manifest, model: { ...manifest.model, version } },
      manifestSha256: '0'.repeat(64),
      actor: 'test',
      nowMs: 1,
    });
  }
  // None, the manifest, and a page beside it.
  for (const [deleted, left] of [
    [0, files],
    [1, files.slice(0, 5)],
    [2, files.slice(2, 5)],
  ] as const) {
    reach = deleted;
    const broken = await ask('DELETE', '/v1');
    expect([broken.status, broken.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await there('v1')).toEqual(left);
    const index = (await (await ask('GET', '')).json()) as { versions: { version: string }[] };
    expect(index.versions.map(({ version }) => version)).toEqual(['v10']);
  }
  reach = Number.POSITIVE_INFINITY;
  expect((await ask('DELETE', '/v1')).status).toBe(204);
  expect(await there('v1')).toEqual([]);
  expect(await there('v10')).toEqual(files);
});
