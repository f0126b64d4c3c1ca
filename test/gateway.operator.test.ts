/** The operator's interface in the real runtime: policy, keys, audit, and what is refused. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { problems } from '../schema/errors.ts';
import { defaultPolicy } from '../schema/policy.ts';
import { COMPATIBILITY_DATE, startLocalGateway } from '../scripts/local/local-gateway.ts';
import { secrets, send, type TestGateway, testGateway } from './support/gateway.ts';
import { disposables, problemOf, temporaryDirectory } from './support/node-client.ts';

const scope = disposables();
let gateway: TestGateway;

beforeAll(async () => {
  gateway = await testGateway(scope);
});
afterAll(() => scope.dispose());

async function putPolicy(document: unknown, ifMatch?: string) {
  return gateway.operator('PUT', '/v1/policy', {
    body: document,
    headers: ifMatch === undefined ? {} : { 'if-match': ifMatch },
  });
}

const etag = async () => (await gateway.operator('GET', '/v1/policy')).headers.get('etag') as string;

test('without a console that was built, the gateway says how to have one', async () => {
  const answer = await send(gateway.url, 'GET', '/console', undefined);
  expect(answer.status).toBe(404);
  expect(await problemOf(answer)).toMatchObject({ hint: expect.stringContaining('build:console') });
});

describe('the policy', () => {
  test('is read, changed and read back; the versions before stay readable', async () => {
    const first = await gateway.operator('GET', '/v1/policy');
    const before = first.headers.get('etag') as string;
    const document = (await first.json()) as typeof defaultPolicy;
    const put = await putPolicy({ ...document, reserveMs: 3 }, before);
    expect(put.status).toBe(200);
    expect(await put.json()).toEqual({ ...document, reserveMs: 3 });
    const after = put.headers.get('etag') as string;
    expect(after).not.toBe(before);
    expect(await etag()).toBe(after);

    const { versions } = (await (await gateway.operator('GET', '/v1/policy/versions')).json()) as {
      versions: { version: number }[];
    };
    expect(versions.map(({ version }) => version)).toEqual([1, 0]);
    const original = await gateway.operator('GET', '/v1/policy/versions/0');
    expect(await original.json()).toEqual(defaultPolicy);
    expect((await gateway.operator('GET', '/v1/policy/versions/99')).status).toBe(404);
    expect((await gateway.operator('GET', '/v1/policy/versions/x')).status).toBe(404);
  });

  test('needs If-Match, and the current one', async () => {
    const current = await etag();
    const without = await putPolicy(defaultPolicy);
    expect(without.status).toBe(428);
    expect(await problemOf(without)).toMatchObject({ code: 'precondition-required' });
    const stale = await putPolicy(defaultPolicy, '"77"');
    expect(stale.status).toBe(412);
    expect(await problemOf(stale)).toMatchObject({ code: 'etag-mismatch' });
    expect(await etag()).toBe(current);
  });

  test('of two changes at once one wins, and the other is told', async () => {
    const current = await etag();
    const both = await Promise.all(
      [5, 6].map((reserveMs) => putPolicy({ ...defaultPolicy, reserveMs }, current)),
    );
    expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
    const winner = both.find(({ status }) => status === 200);
    expect(await etag()).toBe(winner?.headers.get('etag'));
  });

  test('that is not valid is refused with a path for each fault, and nothing changes', async () => {
    const current = await etag();
    const bad = {
      ...defaultPolicy,
      quantile: 2,
      surprise: true,
      tiers: [{ name: 't', upToMs: -1, minSparsity: 0.9, maxSparsity: 0.1 }],
    };
    const response = await putPolicy(bad, current);
    expect(response.status).toBe(422);
    const problem = await problemOf(response);
    expect(problem).toMatchObject({ code: 'bad-policy' });
    const paths = (problem.errors as { path: string }[]).map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['quantile', 'tiers[0].upToMs', '']));
    // Before anything else, so that whoever repairs it is not sent back for the version first.
    expect((await putPolicy(bad, '"77"')).status).toBe(422);
    const ladder = { ...defaultPolicy, tiers: [10, 5].map((upToMs) => ({ name: `t${upToMs}`, upToMs })) };
    expect(await problemOf(await putPolicy(ladder, current))).toMatchObject({
      errors: [{ path: 'tiers[1].upToMs' }],
    });
    const torn = await gateway.operator('PUT', '/v1/policy', {
      body: '{"quantile":',
      headers: { 'if-match': current },
    });
    expect(torn.status).toBe(400);
    expect(await problemOf(torn)).toMatchObject({ code: 'bad-json' });
    expect(await etag()).toBe(current);
  });

  test('every change leaves an audit row, every refusal none', async () => {
    const { entries } = (await (await gateway.operator('GET', '/v1/audit')).json()) as {
      entries: { id: number; actor: string; action: string; detail: object }[];
    };
    const changes = entries.filter(({ action }) => action === 'policy.replace');
    expect(changes.map(({ detail }) => detail)).toEqual([
      { from: 1, to: 2, changes: [{ path: 'reserveMs', from: 3, to: expect.any(Number) }] },
      { from: 0, to: 1, changes: [{ path: 'reserveMs', from: 0.5, to: 3 }] },
    ]);
    expect(new Set(changes.map(({ actor }) => actor))).toEqual(new Set(['operator']));
    const page = await gateway.operator('GET', `/v1/audit?limit=1&before=${entries[0]?.id}`);
    expect(await page.json()).toEqual({ entries: [entries[1]], next: entries[1]?.id });
    expect((await gateway.operator('GET', '/v1/audit?limit=0')).status).toBe(400);
  });
});

describe('going back', () => {
  const rollback = (version: number, ifMatch: string) =>
    gateway.operator('POST', '/v1/policy/rollback', { body: { version }, headers: { 'if-match': ifMatch } });

  test('puts an earlier document in force as a new version, and tells so', async () => {
    const before = await etag();
    const back = await rollback(0, before);
    expect(back.status).toBe(200);
    expect(await back.json()).toEqual(defaultPolicy);
    expect(back.headers.get('etag')).not.toBe(before);
    const { versions } = (await (await gateway.operator('GET', '/v1/policy/versions')).json()) as {
      versions: object[];
    };
    expect(versions[0]).toMatchObject({ rollbackTo: 0, createdBy: 'operator' });
    const { entries } = (await (await gateway.operator('GET', '/v1/audit?limit=1')).json()) as {
      entries: object[];
    };
    expect(entries).toMatchObject([{ action: 'policy.rollback', detail: { rollbackTo: 0 } }]);
    expect((await rollback(0, before)).status).toBe(412);
    expect((await rollback(99, await etag())).status).toBe(404);
  });

  test('a policy is looked at without being put in force', async () => {
    const before = await etag();
    const validate = (document: object) =>
      gateway.operator('POST', '/v1/policy/validate', { body: { ...defaultPolicy, ...document } });
    expect(await (await validate({ reserveMs: 2 })).json()).toEqual({
      valid: true,
      warnings: [],
      against: expect.any(Number),
      changes: [{ path: 'reserveMs', from: 0.5, to: 2 }],
    });
    const nobody = await validate({ overrides: [{ key: 'key_0123456789abcdef' }] });
    expect(nobody.status).toBe(422);
    expect(await problemOf(nobody)).toMatchObject({ errors: [{ path: 'overrides[0].key' }] });
    expect(await etag()).toBe(before);
  });
});

describe('operators', () => {
  test('do what their role allows, under their own name, until their token is revoked', async () => {
    const made = async (role: string) => {
      const body = { name: `the ${role}`, role };
      const response = await gateway.operator('POST', '/v1/operator-tokens', { body });
      expect(response.status).toBe(201);
      return (await response.json()) as { id: string; token: string };
    };
    const [viewer, operator] = [await made('viewer'), await made('operator')];
    const as = (token: string, method: string, path: string, body?: object) =>
      send(gateway.url, method, path, token, body === undefined ? {} : { body });
    expect((await as(viewer.token, 'GET', '/v1/policy')).status).toBe(200);
    const refused = await as(viewer.token, 'POST', '/v1/keys', { name: 'x' });
    expect(refused.status).toBe(403);
    expect(await problemOf(refused)).toMatchObject({ code: 'forbidden' });
    expect((await as(operator.token, 'POST', '/v1/keys', { name: 'made by the operator' })).status).toBe(201);
    expect((await as(operator.token, 'GET', '/v1/operator-tokens')).status).toBe(403);
    const audit = await (await gateway.operator('GET', '/v1/audit?limit=1')).json();
    expect(audit).toMatchObject({ entries: [{ actor: 'the operator', action: 'key.create' }] });
    const listed = await (await gateway.operator('GET', '/v1/operator-tokens')).text();
    expect(listed).toContain(viewer.id);
    expect(listed).not.toMatch(/hash|salt/);
    expect(listed).not.toContain(viewer.token);

    const rotate = (overlapS: number) =>
      gateway.operator('POST', `/v1/operator-tokens/${viewer.id}/rotate`, { body: { overlapS } });
    const next = ((await (await rotate(3600)).json()) as { token: string }).token;
    const statusOf = async (token: string) => (await as(token, 'GET', '/v1/policy')).status;
    expect([await statusOf(viewer.token), await statusOf(next)]).toEqual([200, 200]);
    const last = ((await (await rotate(0)).json()) as { token: string }).token;
    expect([await statusOf(viewer.token), await statusOf(next), await statusOf(last)]).toEqual([
      401, 401, 200,
    ]);
    expect((await as(operator.token, 'POST', `/v1/operator-tokens/${viewer.id}/rotate`, {})).status).toBe(
      403,
    );

    expect((await gateway.operator('DELETE', `/v1/operator-tokens/${viewer.id}`)).status).toBe(204);
    expect(await statusOf(last)).toBe(401);
    expect((await rotate(0)).status).toBe(409);
  });
});

describe('client keys', () => {
  const withKey = (key: string) => send(gateway.url, 'GET', '/v2', key);

  test('work at once, are shown once, and stop at once when they are revoked', async () => {
    const created = await gateway.operator('POST', '/v1/keys', { body: { name: 'shop', expiresInDays: 1 } });
    expect(created.status).toBe(201);
    const { id, key } = (await created.json()) as { id: string; key: string };
    expect((await withKey(key)).status).toBe(200);
    const listed = await (await gateway.operator('GET', '/v1/keys')).text();
    expect(listed).toContain(id);
    expect(listed).not.toContain(key);
    expect(listed).not.toMatch(/hash|salt/);

    const rotated = await gateway.operator('POST', `/v1/keys/${id}/rotate`, { body: { overlapS: 3600 } });
    const next = ((await rotated.json()) as { key: string }).key;
    expect([(await withKey(key)).status, (await withKey(next)).status]).toEqual([200, 200]);
    const again = await gateway.operator('POST', `/v1/keys/${id}/rotate`, { body: { overlapS: 0 } });
    const last = ((await again.json()) as { key: string }).key;
    expect([(await withKey(key)).status, (await withKey(next)).status]).toEqual([401, 401]);
    expect((await withKey(last)).status).toBe(200);

    expect((await gateway.operator('DELETE', `/v1/keys/${id}`)).status).toBe(204);
    expect((await withKey(last)).status).toBe(401);
    expect((await gateway.operator('DELETE', `/v1/keys/${id}`)).status).toBe(204);
    expect((await gateway.operator('DELETE', '/v1/keys/key_none')).status).toBe(404);
    const audit = await (await gateway.operator('GET', '/v1/audit')).text();
    expect(audit).toContain('key.revoke');
    expect(audit).not.toContain(key);
  });

  test.each([{}, { name: '' }, { name: 'x', expiresInDays: 0 }, { name: 'x', admin: true }])(
    'are not made of %j',
    async (body) => {
      const response = await gateway.operator('POST', '/v1/keys', { body });
      expect(response.status).toBe(400);
      expect(await problemOf(response)).toMatchObject({ code: 'bad-request' });
    },
  );
});

describe('nodes', () => {
  test('in a network of its own are not registered, unless the deployment says that its nodes are there', async () => {
    const body = { name: 'local', url: 'http://127.0.0.1:8788' };
    const response = await gateway.operator('POST', '/v1/nodes', { body });
    expect(await problemOf(response)).toMatchObject({ code: 'bad-request', errors: [{ path: 'url' }] });
  });
});

describe('who may do what', () => {
  test.each([
    ['GET', '/v1/policy'],
    ['PUT', '/v1/policy'],
    ['GET', '/v1/policy/versions'],
    ['POST', '/v1/keys'],
    ['GET', '/v1/keys'],
    ['DELETE', '/v1/keys/x'],
    ['GET', '/v1/nodes'],
    ['POST', '/v1/nodes'],
    ['PATCH', '/v1/nodes/x'],
    ['DELETE', '/v1/nodes/x'],
    ['GET', '/v1/audit'],
    ['PUT', '/v1/artifacts/tiny/v1/graph.onnx'],
  ])('%s %s is for operators alone', async (method, path) => {
    for (const token of [undefined, 'wrong-token', gateway.clientKey, secrets.nodeToken]) {
      const response = await send(gateway.url, method, path, token);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      expect(await problemOf(response)).toMatchObject({
        code: 'unauthorized',
        type: '/problems/unauthorized',
      });
    }
  });

  test.each(['/v2', '/v2/models/tiny', '/v2/models/tiny/versions/0'])(
    '%s is for clients alone',
    async (path) => {
      for (const token of [undefined, 'wrong-token', secrets.operatorToken, secrets.nodeToken])
        expect((await send(gateway.url, 'GET', path, token)).status).toBe(401);
    },
  );

  test('artifacts are read by operators and nodes', async () => {
    const status = async (token: string) =>
      (await send(gateway.url, 'GET', '/v1/artifacts/tiny', token)).status;
    expect(await status(secrets.nodeToken)).toBe(200);
    expect(await status(secrets.operatorToken)).toBe(200);
    expect(await status(gateway.clientKey)).toBe(401);
  });

  test('liveness is open', async () => {
    const live = await send(gateway.url, 'GET', '/v2/health/live', undefined);
    expect([live.status, live.headers.get('cache-control')]).toEqual([200, 'no-store']);
  });
});

describe('addresses', () => {
  test.each(['/', '/v3', '/v2/models', '/v1/policy/', '/v1/artifacts/a/b/c/d', '/%2e%2e/etc'])(
    'nothing is at %s',
    async (path) => {
      const response = await gateway.operator('GET', path);
      expect(response.status).toBe(404);
      expect(await problemOf(response)).toMatchObject({ code: 'not-found', error: expect.any(String) });
    },
  );

  test('a method that an address does not take is 405 with those it takes', async () => {
    const response = await gateway.operator('DELETE', '/v1/policy');
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, HEAD, PUT');
    expect(await problemOf(response)).toMatchObject({ code: 'method-not-allowed' });
  });

  test('every problem code has a page', async () => {
    for (const [code, { status, title }] of Object.entries(problems)) {
      const response = await send(gateway.url, 'GET', `/problems/${code}`, undefined);
      expect(await response.json()).toMatchObject({ code, status, title });
    }
    expect((await send(gateway.url, 'GET', '/problems/toString', undefined)).status).toBe(404);
    const page = await send(gateway.url, 'GET', '/problems', undefined, { headers: { accept: 'text/html' } });
    const html = await page.text();
    expect(html).toContain('<code>predictedMs</code>');
    expect(html).not.toContain('`');
  });

  test('a request keeps its id, and gets one if it has none', async () => {
    const given = await gateway.operator('GET', '/v1/policy', { headers: { 'x-request-id': 'abc-1' } });
    expect(given.headers.get('x-request-id')).toBe('abc-1');
    const odd = await gateway.operator('GET', '/v1/policy', { headers: { 'x-request-id': 'a b' } });
    expect(odd.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
    for (const [method, path] of [
      ['GET', '/nowhere'],
      ['DELETE', '/v1/policy'],
    ] as const) {
      const none = await gateway.operator(method, path, { headers: { 'x-request-id': 'abc-2' } });
      expect([none.ok, none.headers.get('x-request-id')]).toEqual([false, 'abc-2']);
    }
  });
});

describe('the deployment', () => {
  test('without secrets serves nobody, and says which are missing', async () => {
    const bare = await startLocalGateway({ port: 0, nodes: [], ...secrets, operatorToken: 'short' });
    scope.onDispose(() => bare.close());
    const response = await send(bare.url, 'GET', '/v1/policy', 'short');
    expect(response.status).toBe(503);
    expect(await problemOf(response)).toMatchObject({
      code: 'not-ready',
      detail: expect.stringContaining('OPERATOR_TOKEN'),
    });
  });

  test('keeps what it was told over a restart', async () => {
    const dataDir = await temporaryDirectory(scope);
    const first = await startLocalGateway({ port: 0, nodes: [], ...secrets, dataDir });
    const put = await send(first.url, 'PUT', '/v1/policy', secrets.operatorToken, {
      body: { ...defaultPolicy, reserveMs: 9 },
      headers: { 'if-match': '"0"' },
    });
    expect(put.status).toBe(200);
    await first.close();
    const second = await startLocalGateway({ port: 0, nodes: [], ...secrets, dataDir });
    scope.onDispose(() => second.close());
    const policy = await send(second.url, 'GET', '/v1/policy', secrets.operatorToken);
    expect(await policy.json()).toMatchObject({ reserveMs: 9 });
    expect(policy.headers.get('etag')).toBe('"1"');
  });

  test('runs here as it does at Cloudflare', async () => {
    const toml = await readFile(new URL('../wrangler.toml', import.meta.url), 'utf8');
    expect(toml).toContain(`compatibility_date = "${COMPATIBILITY_DATE}"`);
  });
});
