/** Files of versions that are complete, and of those that are not. */
import { beforeAll, expect, test } from 'vitest';
import { plainManifest } from '../../test/support/report-manifest.ts';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';
import { activateVersion } from '../storage/catalog.ts';
import { markDeleted } from '../storage/deleted-versions.ts';

const manifest = plainManifest();
const { id: model, version } = manifest.model;
const FILE = `/v1/artifacts/${model}/${version}/a.bin`;
let here: Isolate;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  here = isolate(bindings);
  const sha256 = '0'.repeat(64);
  await bindings.ARTIFACTS.put(`artifacts/${model}/${version}/a.bin`, 'a', { customMetadata: { sha256 } });
  return dispose;
});

const told = async (method: 'GET' | 'HEAD', token: string) => {
  const { status, headers } = await here.ask(method, FILE, token);
  return [status, status === 200 ? headers.get('cache-control') : undefined];
};
const kept = 'private, max-age=31536000, immutable';

test('are for nodes, and for anybody to keep, with the version alone', async () => {
  const each = async (node: unknown, operator: unknown) => {
    for (const method of ['GET', 'HEAD'] as const) {
      expect(await told(method, secrets.nodeToken)).toEqual(node);
      expect(await told(method, secrets.operatorToken)).toEqual(operator);
    }
  };
  await each([404, undefined], [200, 'no-store']);
  // By another isolate: this one reads of it when it is asked.
  const activation = { manifest, manifestSha256: '0'.repeat(64), actor: 'test', nowMs: 1 };
  await activateVersion(here.gateway.db, activation);
  await each([200, kept], [200, kept]);
  const next = { ...manifest, model: { ...manifest.model, version: `${version}-next` } };
  await activateVersion(here.gateway.db, { ...activation, manifest: next });
  await markDeleted(here.gateway.db, { model, version, actor: 'test', nowMs: 2 });
  await here.gateway.catalog.within(0);
  await each([404, undefined], [200, 'no-store']);
});
