/** Uploads that are removed while others complete them, begin them again, or remove them too. */
import { createHash } from 'node:crypto';
import { beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { Manifest } from '../../schema/manifest.ts';
import { plainManifest } from '../../test/support/report-manifest.ts';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';
import { listAudit } from '../storage/audit.ts';

const plain = plainManifest();
const FILES = ['graph.onnx', 'weights-00.bin'];
/** For how long a name is held, and for how long of that its files may be removed. */
const HELD_MS = 60_000;
const REMOVING_MS = 30_000;

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

let nowMs = Date.now();
let here: Isolate;
let there: Isolate;
let bucket: R2Bucket;
/** Each runs once, before the bucket does the next such thing, or behind it. */
const before: { delete?: () => unknown; put?: () => unknown } = {};
const after: { head?: () => unknown; list?: () => unknown } = {};
let version = '';

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  bucket = bindings.ARTIFACTS;
  const once = async <K extends string>(hooks: { [key in K]?: () => unknown }, name: K) => {
    const hook = hooks[name];
    delete hooks[name];
    await hook?.();
  };
  const hooked = {
    async head(key: string) {
      const found = await bucket.head(key);
      await once(after, 'head');
      return found;
    },
    async list(options: R2ListOptions) {
      const found = await bucket.list(options);
      await once(after, 'list');
      return found;
    },
    async put(...args: Parameters<R2Bucket['put']>) {
      await once(before, 'put');
      return bucket.put(...args);
    },
    async delete(keys: string | string[]) {
      await once(before, 'delete');
      await bucket.delete(keys);
    },
  };
  here = isolate({ ...bindings, ARTIFACTS: hooked as unknown as R2Bucket }, () => nowMs);
  there = isolate(bindings, () => nowMs);
  vi.spyOn(console, 'error').mockImplementation(() => {});
  return dispose;
});
beforeEach(async ({ task }) => {
  version = sha256(task.name).slice(0, 8);
  await writeFiles();
});

const manifestOf = (): Manifest => ({
  ...plain,
  model: { ...plain.model, version },
  files: FILES.map((path) => ({ path, bytes: path.length, sha256: sha256(path) })),
});

async function writeFiles(): Promise<void> {
  for (const file of FILES)
    await bucket.put(`artifacts/digits/${version}/${file}`, file, {
      customMetadata: { sha256: sha256(file) },
    });
}
function sendManifest(isolate: Isolate): Promise<Response> {
  const manifest = manifestOf();
  return isolate.ask(
    'PUT',
    `/v1/artifacts/digits/${version}/manifest.json`,
    secrets.operatorToken,
    manifest,
    { 'x-content-sha256': sha256(JSON.stringify(manifest)) },
  );
}
const sendFile = (isolate: Isolate) =>
  isolate.ask('PUT', `/v1/artifacts/digits/${version}/graph.onnx`, secrets.operatorToken, undefined, {
    'x-content-sha256': sha256(''),
    'content-length': '0',
  });
const remove = (isolate: Isolate) =>
  isolate.ask('DELETE', `/v1/artifacts/digits/${version}`, secrets.operatorToken);
const filesThere = async () =>
  (await bucket.list({ prefix: `artifacts/digits/${version}/` })).objects.map(({ key }) => key.split('/')[3]);
async function isListed(path: string): Promise<boolean> {
  const answer = await there.ask('GET', path, secrets.operatorToken);
  return JSON.stringify(await answer.json()).includes(`"${version}"`);
}
const isComplete = () => isListed('/v1/artifacts/digits');
const isUpload = () => isListed('/v1/uploads');
const removals = async () =>
  (await listAudit(here.gateway.db, 100)).filter(
    ({ action, target }) => action === 'artifact.delete' && target === `digits/${version}`,
  );

test('leaves the name to others a minute later, and no mark of it then', async () => {
  expect(await isUpload()).toBe(true);
  expect((await remove(here)).status).toBe(204);
  expect([await filesThere(), await isUpload()]).toEqual([[], false]);
  expect(await removals()).toMatchObject([
    { actor: 'operator', detail: { manifestSha256: null, bytes: null } },
  ]);

  nowMs += HELD_MS - 1500;
  const early = await sendFile(there);
  expect([early.status, early.headers.get('retry-after')]).toEqual([409, '2']);
  expect(await early.json()).toMatchObject({
    code: 'conflict',
    hint: expect.stringContaining('in a minute'),
  });
  expect((await remove(here)).status).toBe(204);
  nowMs += 1500;
  expect((await remove(here)).status).toBe(404);
  expect((await sendFile(there)).status).toBe(201);
  await bucket.delete(`artifacts/digits/${version}/graph.onnx`);
  await writeFiles();
  expect((await sendManifest(there)).status).toBe(201);
  expect([await isComplete(), await isUpload()]).toEqual([true, false]);
  expect((await remove(here)).status).toBe(409);
  expect(await filesThere()).toEqual(['graph.onnx', 'manifest.json', 'weights-00.bin']);
});

test.each([
  ['before its manifest is written', before, 'put'],
  ['when its files have been found', after, 'list'],
] as const)('%s, nothing is completed and no manifest is left', async (_, hooks, name) => {
  Object.assign(hooks, { [name]: async () => expect((await remove(there)).status).toBe(204) });
  const refused = await sendManifest(here);
  expect([refused.status, await filesThere(), await isComplete()]).toEqual([409, [], false]);
  expect(await refused.json()).toMatchObject({
    code: 'conflict',
    detail: expect.stringContaining('removed'),
  });
});

test('nothing is completed by what saw the files before, however long ago that was', async () => {
  before.put = async () => {
    expect((await remove(there)).status).toBe(204);
    nowMs += 10 * HELD_MS;
  };
  expect((await sendManifest(here)).status).toBe(409);
  expect(await isComplete()).toBe(false);
  // The name may be another's by now, so it is left to operators.
  expect([await filesThere(), await isUpload()]).toEqual([['manifest.json'], true]);
  expect((await remove(here)).status).toBe(204);
  expect(await filesThere()).toEqual([]);
});

test('is refused, with all files there, when it is completed after it was found not to be', async () => {
  // Looked for: any file, then a manifest.
  after.head = async () => expect((await sendManifest(there)).status).toBe(201);
  const refused = await remove(here);
  expect(refused.status).toBe(409);
  expect(await refused.json()).toMatchObject({ code: 'in-use', heldBy: [{ kind: 'active' }] });
  expect([await filesThere(), await isComplete(), await removals()]).toEqual([
    ['graph.onnx', 'manifest.json', 'weights-00.bin'],
    true,
    [],
  ]);
});

test('that takes longer than the name is held for it stops, and goes on when it is sent again', async () => {
  after.list = () => {
    // The first is whether there is anything.
    after.list = () => {
      nowMs += REMOVING_MS;
    };
  };
  const late = await remove(here);
  expect([late.status, late.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await filesThere()).toEqual(FILES);
  expect((await sendManifest(there)).status).toBe(409);
  expect((await remove(here)).status).toBe(204);
  expect([await filesThere(), await removals()]).toMatchObject([[], [{}]]);
  // Held anew.
  nowMs += HELD_MS - 1;
  expect((await sendFile(there)).status).toBe(409);
});

test('that breaks off in the bucket goes on, also when its name is no longer held', async () => {
  before.delete = () => Promise.reject(new Error('the bucket is away'));
  expect((await remove(here)).status).toBe(503);
  expect([await filesThere(), await isUpload()]).toEqual([FILES, true]);
  nowMs += HELD_MS;
  expect((await remove(here)).status).toBe(204);
  expect(await filesThere()).toEqual([]);
});

test('is one removal, however many ask for it at once', async () => {
  const all = await Promise.all([here, there, here, there].map(remove));
  expect(all.map(({ status }) => status)).toEqual([204, 204, 204, 204]);
  expect([await filesThere(), await removals()]).toMatchObject([[], [{}]]);
});

test('keeps the name taken where a manifest is there, which somebody may have read', async () => {
  await bucket.put(`artifacts/digits/${version}/manifest.json`, 'x', {
    customMetadata: { sha256: sha256('x') },
  });
  expect((await remove(here)).status).toBe(204);
  expect(await filesThere()).toEqual([]);
  nowMs += 2 * HELD_MS;
  const refused = await sendFile(there);
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([409, null]);
});
