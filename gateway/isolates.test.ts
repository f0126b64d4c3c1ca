/** Two isolates of one deployment on one database: what one is told, the other follows within five seconds. */
import { beforeAll, expect, test } from 'vitest';
import { reportLevel, reportManifest } from '../test/support/report-manifest.ts';
import { deployment, heardAfter, type Isolate, isolate, secrets } from './isolate.fixture.ts';
import { activateVersion } from './storage/catalog.ts';

const WITHIN_MS = 5000;
let nowMs = Date.now();
let here: Isolate;
let there: Isolate;
/** An isolate that hears of nothing in the database before `meanwhile`. */
let late: Isolate;
let meanwhile = async (): Promise<void> => {};

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  [here, there] = [isolate(bindings, () => nowMs), isolate(bindings, () => nowMs)];
  late = isolate({ ...bindings, DB: heardAfter(bindings.DB, () => meanwhile()) }, () => nowMs);
  return dispose;
});

const quality = { metric: 'accuracy' as const, value: 0.9, low: 0.8, high: 1, samples: 10 };

/** Every 100 ms until so long has gone by, or after a pause as long. */
const rates = [
  ['in steady traffic', 100],
  ['after a pause', WITHIN_MS],
] as const;

async function passed(stepMs: number, ask: () => Promise<unknown>): Promise<void> {
  for (let ms = 0; ms < WITHIN_MS; ms += stepMs) {
    nowMs += stepMs;
    if (ms + stepMs < WITHIN_MS) await ask();
  }
}

test.each(rates)('a key that is revoked in another isolate is refused, %s', async (_, stepMs) => {
  const created = await here.ask('POST', '/v1/keys', secrets.operatorToken, { name: 'shop' });
  const { id, key } = (await created.json()) as { id: string; key: string };
  const withKey = async () => (await there.ask('GET', '/v2', key)).status;
  expect(await withKey()).toBe(200);
  expect((await here.ask('DELETE', `/v1/keys/${id}`, secrets.operatorToken)).status).toBe(204);
  await passed(stepMs, withKey);
  expect(await withKey()).toBe(401);
});

test.each(rates)('a key that is revoked after the clock was set back is refused, %s', async (_, stepMs) => {
  const created = await here.ask('POST', '/v1/keys', secrets.operatorToken, { name: 'shop' });
  const { id, key } = (await created.json()) as { id: string; key: string };
  const withKey = async () => (await there.ask('GET', '/v2', key)).status;
  expect(await withKey()).toBe(200);
  nowMs -= 3_600_000;
  expect((await here.ask('DELETE', `/v1/keys/${id}`, secrets.operatorToken)).status).toBe(204);
  await passed(stepMs, withKey);
  expect(await withKey()).toBe(401);
});

test('a key that was tried in another isolate before there was one is good there within two seconds, in a flood too', async () => {
  const made = async () => {
    const created = await here.ask('POST', '/v1/keys', secrets.operatorToken, { name: 'shop' });
    return (await created.json()) as { id: string; key: string; prefix: string };
  };
  const flood = (count: number) =>
    Promise.all(
      Array.from({ length: count }, (_, i) =>
        there.ask('GET', '/v2', `sp_${i.toString(16).padStart(12, '0')}_${'A'.repeat(43)}`),
      ),
    );
  for (const unknown of [0, 50]) {
    expect((await flood(unknown)).map(({ status }) => status)).toEqual(Array(unknown).fill(401));
    const { key, prefix } = await made();
    // As if it was asked for just before it was made.
    there.gateway.keys.set(prefix, null);
    expect((await there.ask('GET', '/v2', key)).status).toBe(401);
    nowMs += 1999;
    expect((await there.ask('GET', '/v2', key)).status).toBe(200);
  }
});

test('a secret that was made by a rotation in another isolate is good there within a second', async () => {
  // The flood of others is over.
  nowMs += WITHIN_MS;
  const created = await here.ask('POST', '/v1/keys', secrets.operatorToken, { name: 'shop' });
  const { id, key } = (await created.json()) as { id: string; key: string };
  expect((await there.ask('GET', '/v2', key)).status).toBe(200);
  const rotated = await here.ask('POST', `/v1/keys/${id}/rotate`, secrets.operatorToken, { overlapS: 60 });
  const { key: next } = (await rotated.json()) as { key: string };
  nowMs += 1000;
  expect((await there.ask('GET', '/v2', next)).status).toBe(200);
  expect((await there.ask('GET', '/v2', key)).status).toBe(200);
});

test.each(rates)('a policy that is activated in another isolate is in force, %s', async (_, stepMs) => {
  const { operatorToken } = secrets;
  const inForce = async () => (await there.gateway.policy.get({ waitUntil: () => {} })).version;
  const read = await here.ask('GET', '/v1/policy', operatorToken);
  const before = await inForce();
  const etag = read.headers.get('etag') ?? '';
  const put = await here.ask('PUT', '/v1/policy', operatorToken, await read.json(), { 'if-match': etag });
  expect(put.status).toBe(200);
  await passed(stepMs, () => there.ask('GET', '/v2/health/ready', ''));
  expect(await inForce()).toBe(before + 1);
});

test('of two policies that an isolate puts in force at once the later one is', async () => {
  const { operatorToken } = secrets;
  const put = async () => {
    const read = await late.ask('GET', '/v1/policy', operatorToken);
    const etag = read.headers.get('etag') ?? '';
    const body = await read.json();
    return late.ask('PUT', '/v1/policy', operatorToken, body, { 'if-match': etag });
  };
  let heard = 0;
  meanwhile = async () => void heard++;
  expect((await put()).status).toBe(200);
  let later: Response | undefined;
  meanwhile = async () => {
    if (--heard !== 0) return;
    later = await put();
  };
  const earlier = await put();
  meanwhile = async () => {};
  expect([earlier.status, later?.status]).toEqual([200, 200]);
  const version = late.gateway.policy.held()?.version;
  expect(version).toBe(Number(later?.headers.get('x-policy-version')));
  expect(version).toBeGreaterThan(Number(earlier.headers.get('x-policy-version')));
});

test.each(rates)('a model that was uploaded through another isolate is there, %s', async (when, stepMs) => {
  const dense = reportLevel({ level: 0, relativeFlops: 1 }, { quality, latency: [] });
  const manifest = reportManifest([dense]);
  const created = await here.ask('POST', '/v1/keys', secrets.operatorToken, { name: 'shop' });
  const { key } = (await created.json()) as { key: string };
  const model = { ...manifest.model, id: `m-${when.replaceAll(' ', '-')}` };
  const metadata = async () => (await there.ask('GET', `/v2/models/${model.id}`, key)).status;
  expect(await metadata()).toBe(404);
  await activateVersion(here.gateway.db, {
    manifest: { ...manifest, model },
    manifestSha256: '0'.repeat(64),
    actor: 'test',
    nowMs,
  });
  await passed(stepMs, metadata);
  expect(await metadata()).toBe(200);
});

test.each(rates)('a version that is deleted through another isolate is gone, %s', async (when, stepMs) => {
  const { operatorToken } = secrets;
  const dense = reportLevel({ level: 0, relativeFlops: 1 }, { quality, latency: [] });
  const manifest = reportManifest([dense], { id: `d-${when.replaceAll(' ', '-')}` });
  for (const version of ['v1', 'v2'])
    await activateVersion(here.gateway.db, {
      manifest: { ...manifest, model: { ...manifest.model, version } },
      manifestSha256: '0'.repeat(64),
      actor: 'test',
      nowMs,
    });
  const path = `/v1/artifacts/${manifest.model.id}`;
  const listed = async (isolate: Isolate) => {
    const index = await (await isolate.ask('GET', path, operatorToken)).json();
    return (index as { versions: { version: string }[] }).versions.map(({ version }) => version);
  };
  nowMs += WITHIN_MS;
  expect(await listed(there)).toEqual(['v2', 'v1']);
  expect((await here.ask('DELETE', `${path}/v1`, operatorToken)).status).toBe(204);
  expect(await listed(here)).toEqual(['v2']);
  await passed(stepMs, () => listed(there));
  expect(await listed(there)).toEqual(['v2']);
});
