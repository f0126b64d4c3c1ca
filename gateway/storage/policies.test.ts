/** Policies as they are read: above all one that was written by another version of the gateway, and is none to this one. */
import { beforeAll, expect, test } from 'vitest';
import { policies } from '../../schema/db/tables.ts';
import { defaultPolicy, type Policy } from '../../schema/policy.ts';
import { plainManifest } from '../../test/support/report-manifest.ts';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';
import { listAudit } from './audit.ts';
import { activateVersion } from './catalog.ts';
import { markDeleted } from './deleted-versions.ts';
import { currentPolicy, policyInForce, replacePolicy } from './policies.ts';

let here: Isolate;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  here = isolate(bindings);
  return dispose;
});

const ask = (method: string, path: string, body?: unknown, headers?: object) =>
  here.ask(method, path, secrets.operatorToken, body, headers);

const written = (version: number, document: object) =>
  here.gateway.db.insert(policies).values({
    version,
    document: document as Policy,
    createdAtMs: 1,
    createdBy: 'before',
    rollbackTo: null,
  });
const spoilt = (version: number) => written(version, { ...defaultPolicy, bygone: true });

test('serves nobody, for no fault of theirs', async () => {
  await spoilt(1);
  const ready = await ask('GET', '/v2/health/ready');
  expect([ready.status, ((await ready.json()) as { code: string }).code]).toEqual([503, 'not-ready']);
});

test('is told to operators, and replaced by a valid one', async () => {
  const read = await ask('GET', '/v1/policy');
  expect(await read.json()).toMatchObject({ code: 'bad-policy', version: 1 });
  const tried = await ask('POST', '/v1/policy/validate', defaultPolicy);
  expect(await tried.json()).toMatchObject({ against: 1, changes: [{ path: 'bygone', from: true }] });
  expect((await ask('PUT', '/v1/policy', defaultPolicy, { 'if-match': '"0"' })).status).toBe(412);
  expect((await ask('PUT', '/v1/policy', defaultPolicy, { 'if-match': '"1"' })).status).toBe(200);
  expect((await ask('GET', '/v1/policy')).headers.get('etag')).toBe('"2"');
});

test('is gone back from, but not to', async () => {
  await spoilt(3);
  const back = (version: number) => ask('POST', '/v1/policy/rollback', { version }, { 'if-match': '"3"' });
  expect(await (await back(1)).json()).toMatchObject({ code: 'bad-policy', version: 1 });
  expect((await back(2)).status).toBe(200);
});

test('of which only what has a default by now is missing is one, and the default no change', async () => {
  const { hedgeShare, canary, ...older } = defaultPolicy;
  await written(5, older);
  const tried = await ask('POST', '/v1/policy/validate', { ...defaultPolicy, reserveMs: 7 });
  expect(await tried.json()).toMatchObject({ against: 5, changes: [{ path: 'reserveMs', to: 7 }] });
});

test('in force is read anew once another one is, and not before', async () => {
  const { db } = here.gateway;
  await written(6, defaultPolicy);
  const known = await policyInForce(db);
  expect(await policyInForce(db, known)).toBe(known);
  await written(7, { ...defaultPolicy, reserveMs: 9 });
  expect(await policyInForce(db, known)).toMatchObject({ version: 7, document: { reserveMs: 9 } });
});

test('comes to nothing where a version that it names is deleted between the look and the write', async () => {
  const { db } = here.gateway;
  const manifest = plainManifest();
  const { id: model } = manifest.model;
  for (const version of ['v1', 'v2', 'v3'])
    await activateVersion(db, {
      manifest: { ...manifest, model: { ...manifest.model, version } },
      manifestSha256: '0'.repeat(64),
      actor: 'test',
      nowMs: 1,
    });
  const artifacts = { kind: 'artifact', model, baseline: 'v1', candidate: 'v3', share: 0.5 } as const;
  const put = async (canary: Policy['canary']) => {
    const { version: expected } = await currentPolicy(db);
    return replacePolicy(db, { expected, document: { ...defaultPolicy, canary }, actor: 'test', nowMs: 2 });
  };
  const { version: named } = await put(artifacts);
  const { version: unnamed } = await put(null);
  expect(await markDeleted(db, { model, version: 'v1', actor: 'test', nowMs: 3 })).toEqual([]);
  const [last] = await listAudit(db, 1);
  for (const canary of [artifacts, { kind: 'policy', baseline: named, share: 0.5 } as const])
    await expect(put(canary)).rejects.toMatchObject({
      code: 'bad-policy',
      message: expect.stringContaining(`${model}/v1`),
    });
  expect((await currentPolicy(db)).version).toBe(unnamed);
  expect(await listAudit(db, 1)).toEqual([last]);
  expect((await put({ ...artifacts, baseline: 'v2' })).version).toBe(unnamed + 1);
});
