/** Versions that operators delete: nothing that serves or could serve requests goes, and what was begun can be finished. */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Manifest } from '../schema/manifest.ts';
import { uploadArtifact } from '../trainer/upload/upload-artifact.ts';
import { type ContractFleet, contractFleet } from './support/contract-fleet.ts';
import { secrets, send, type TestGateway, testGateway } from './support/gateway.ts';
import { disposables, problemOf, temporaryDirectory } from './support/node-client.ts';
import { writeTinyArtifact } from './support/tiny-model.ts';

const scope = disposables();
afterAll(() => scope.dispose());

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

async function artifact(version: string): Promise<{ dir: string; manifest: Manifest }> {
  const dir = await temporaryDirectory(scope);
  return { dir, manifest: await writeTinyArtifact(dir, { version }) };
}

const remove = (gateway: TestGateway, version: string) =>
  gateway.operator('DELETE', `/v1/artifacts/tiny/${version}`);

const deletions = async (gateway: TestGateway, target: string) => {
  const { entries } = (await (await gateway.operator('GET', '/v1/audit')).json()) as {
    entries: { actor: string; action: string; target: string; detail: object }[];
  };
  return entries.filter((entry) => entry.action === 'artifact.delete' && entry.target === target);
};

describe('deleting a version', () => {
  let gateway: TestGateway;
  beforeAll(async () => {
    gateway = await testGateway(scope);
  });

  const upload = (dir: string) => uploadArtifact({ dir, url: gateway.url, token: secrets.operatorToken });
  const put = (path: string, bytes: Uint8Array | string) =>
    gateway.operator('PUT', `/v1/artifacts/tiny/${path}`, {
      body: bytes,
      headers: { 'x-content-sha256': sha256(bytes), 'content-type': 'application/octet-stream' },
    });
  const statusOf = async (path: string) =>
    (await gateway.operator('HEAD', `/v1/artifacts/tiny/${path}`)).status;
  const versions = async () => {
    const index = (await (await gateway.operator('GET', '/v1/artifacts/tiny')).json()) as {
      versions: { version: string }[];
    };
    return index.versions.map(({ version }) => version);
  };

  test('is refused for the active one, and takes the files of another and its name off the list', async () => {
    const { dir, manifest } = await artifact('v1');
    await upload(dir);
    const active = await remove(gateway, 'v1');
    expect(active.status).toBe(409);
    expect(await problemOf(active)).toMatchObject({
      code: 'in-use',
      detail: 'tiny/v1 is the active version.',
      heldBy: [{ kind: 'active' }],
    });
    await upload((await artifact('v2')).dir);
    expect(await versions()).toEqual(['v2', 'v1']);

    expect((await remove(gateway, 'v1')).status).toBe(204);
    expect(await versions()).toEqual(['v2']);
    for (const file of ['manifest.json', ...manifest.files.map(({ path }) => path)])
      expect(await statusOf(`v1/${file}`)).toBe(404);
    expect(await statusOf(`v2/${manifest.graph}`)).toBe(200);

    expect((await remove(gateway, 'v1')).status).toBe(204);
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    const manifestSha256 = sha256(await readFile(join(dir, 'manifest.json')));
    expect(await deletions(gateway, 'tiny/v1')).toMatchObject([
      { actor: 'operator', detail: { manifestSha256, bytes } },
    ]);
  });

  test('keeps its name taken, for the same content too, and the manifest of another name is the way out', async () => {
    const { dir, manifest } = await artifact('v1');
    const refused = await put('v1/graph.onnx', 'another graph');
    expect(refused.status).toBe(409);
    expect(await problemOf(refused)).toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('model.version'),
      deletedAtMs: expect.any(Number),
    });
    await expect(upload(dir)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('was deleted'),
    });
    const bare = await put('v1/manifest.json', await readFile(join(dir, 'manifest.json')));
    expect(await problemOf(bare)).toMatchObject({ code: 'conflict', detail: expect.stringContaining('v1') });
    expect(await versions()).toEqual(['v2']);

    const renamed = { ...manifest, model: { ...manifest.model, version: 'v1-again' } };
    await writeFile(join(dir, 'manifest.json'), JSON.stringify(renamed));
    expect(await upload(dir)).toMatchObject({ version: 'v1-again', activated: true });
  });

  test('removes what there is of an upload that was never complete', async () => {
    const { dir, manifest } = await artifact('half');
    const graph = await readFile(join(dir, manifest.graph));
    await put(`half/${manifest.graph}`, graph);
    const uploads = async () => (await gateway.operator('GET', '/v1/uploads')).json();
    expect(await uploads()).toMatchObject({
      uploads: [{ model: 'tiny', version: 'half', files: 1, bytes: graph.length }],
      next: null,
    });
    expect((await remove(gateway, 'half')).status).toBe(204);
    expect(await uploads()).toMatchObject({ uploads: [] });
    expect(await statusOf(`half/${manifest.graph}`)).toBe(404);
    expect((await put(`half/${manifest.graph}`, 'another graph')).status).toBe(409);
    expect((await remove(gateway, 'half')).status).toBe(204);
    expect(await deletions(gateway, 'tiny/half')).toMatchObject([
      { detail: { manifestSha256: null, bytes: null } },
    ]);
  });

  test.each(['never-there', 'Never-There', 'v'])(
    'is 404 for %s, where nothing is and nothing was',
    async (version) => {
      const response = await remove(gateway, version);
      expect(response.status).toBe(404);
      expect(await problemOf(response)).toMatchObject({ code: 'unknown-artifact' });
      expect(await deletions(gateway, `tiny/${version}`)).toEqual([]);
    },
  );

  test('is for operators: neither a viewer nor a node may', async () => {
    const made = await gateway.operator('POST', '/v1/operator-tokens', {
      body: { name: 'looks on', role: 'viewer' },
    });
    const { token } = (await made.json()) as { token: string };
    const as = (who: string) => send(gateway.url, 'DELETE', '/v1/artifacts/tiny/v2', who);
    expect((await as(token)).status).toBe(403);
    expect((await as(secrets.nodeToken)).status).toBe(401);
    expect(await versions()).toContain('v2');
  });

  test('is one deletion, however many ask for it at once', async () => {
    await upload((await artifact('v3')).dir);
    await upload((await artifact('v4')).dir);
    const all = await Promise.all(Array.from({ length: 4 }, () => remove(gateway, 'v3')));
    expect(all.map(({ status }) => status)).toEqual([204, 204, 204, 204]);
    expect(await deletions(gateway, 'tiny/v3')).toHaveLength(1);
  });
});

describe('a version that requests go to', () => {
  let fleet: ContractFleet;
  beforeAll(async () => {
    fleet = await contractFleet(scope);
  });
  beforeEach(() => fleet.reset());

  const canary = { kind: 'artifact', model: 'tiny', baseline: 'v1', candidate: 'v2', share: 0.1 } as const;
  const served = async (version: string) => {
    fleet.b.version = version;
    await fleet.usable(['a', 'b']);
  };

  test('as long as no node has the active one is not deleted', async () => {
    const refused = await remove(fleet.gateway, 'v1');
    expect(refused.status).toBe(409);
    expect(await problemOf(refused)).toMatchObject({
      code: 'in-use',
      detail: 'tiny/v1 is what requests go to until a node serves v2.',
      heldBy: [{ kind: 'fleet', until: 'v2' }],
    });
    expect((await fleet.infer()).headers.get('x-artifact-version')).toBe('v1');
  });

  test('by a canary is not deleted, be it the policy in force that says so or the one it is held against', async () => {
    await served('v2');
    const first = Number(await fleet.policy({ canary }));
    const baseline = await remove(fleet.gateway, 'v1');
    expect(baseline.status).toBe(409);
    expect(await problemOf(baseline)).toMatchObject({
      code: 'in-use',
      detail: `tiny/v1 is the baseline of the canary of policy version ${first}.`,
      heldBy: [{ kind: 'policy', version: first, side: 'baseline' }],
    });
    expect(await problemOf(await remove(fleet.gateway, 'v2'))).toMatchObject({
      heldBy: [{ kind: 'active' }, { kind: 'policy', version: first, side: 'candidate' }],
    });
    await fleet.policy({ canary: { kind: 'policy', baseline: first, share: 0.5 } });
    expect(await problemOf(await remove(fleet.gateway, 'v1'))).toMatchObject({
      heldBy: [{ kind: 'policy', version: first, side: 'baseline' }],
    });
  });

  test('can be deleted once others take its place: what is under way is answered, and policies that name it are refused', async () => {
    const before = Number(await fleet.policy({ canary: { ...canary, share: 0 } }));
    const released = Promise.withResolvers<void>();
    const begun = vi.fn();
    await fleet.b.kill();
    await fleet.usable(['a']);
    fleet.a.takeOver = async (request, response) => {
      begun();
      for await (const _ of request);
      await released.promise;
      response.writeHead(200, { 'content-type': 'application/json', 'x-artifact-version': 'v1' });
      const [, level] = /versions\/(\d+)/.exec(request.url ?? '') ?? [];
      response.end(JSON.stringify({ model_name: 'tiny', model_version: level, outputs: [] }));
    };
    const underWay = fleet.infer('20s');
    await vi.waitFor(() => expect(begun).toHaveBeenCalled());
    await fleet.b.restart();
    await served('v2');
    await fleet.policy({});
    expect((await remove(fleet.gateway, 'v1')).status).toBe(204);
    fleet.a.takeOver = undefined;
    expect((await fleet.infer()).headers.get('x-artifact-version')).toBe('v2');
    released.resolve();
    const answer = await underWay;
    expect([answer.status, answer.headers.get('x-artifact-version')]).toEqual([200, 'v1']);

    const etag = (await fleet.gateway.operator('GET', '/v1/policy')).headers.get('etag') as string;
    const back = await fleet.gateway.operator('POST', '/v1/policy/rollback', {
      body: { version: before },
      headers: { 'if-match': etag },
    });
    expect(back.status).toBe(422);
    expect(await problemOf(back)).toMatchObject({ errors: [{ path: 'canary.baseline' }] });
  });
});
