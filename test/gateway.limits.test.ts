/** Rate limits and cross-origin pages in the real runtime. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { send, type TestGateway, testGateway } from './support/gateway.ts';
import { disposables, problemOf } from './support/node-client.ts';

const scope = disposables();
const SCRAPE_TOKEN = 'scrape-token-of-the-tests-01';
const APP = 'https://app.example.org';
let gateway: TestGateway;

beforeAll(async () => {
  gateway = await testGateway(scope, { vars: { CORS_ORIGINS: APP, SCRAPE_TOKEN } });
});
afterAll(() => scope.dispose());

async function newKey(settings: object): Promise<{ id: string; key: string }> {
  const created = await gateway.operator('POST', '/v1/keys', { body: { name: 'test', ...settings } });
  expect(created.status).toBe(201);
  return (await created.json()) as { id: string; key: string };
}

const ask = (key: string, headers: Record<string, string> = {}) =>
  send(gateway.url, 'GET', '/v2', key, { headers });

describe('a rate limit', () => {
  test('lets exactly so many requests through, however many come at once, and says what is left', async () => {
    const { id, key } = await newKey({ rateLimit: { requests: 20, windowS: 86_400 } });
    const first = await ask(key);
    expect(first.headers.get('ratelimit-policy')).toBe('"key";q=20;w=86400');
    expect(first.headers.get('ratelimit')).toMatch(/^"key";r=19;t=\d+$/);
    const statuses = (await Promise.all(Array.from({ length: 50 }, () => ask(key)))).map(
      ({ status }) => status,
    );
    expect(statuses.filter((status) => status === 200)).toHaveLength(19);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    const refused = await ask(key);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused.headers.get('ratelimit')).toMatch(/^"key";r=0;t=\d+$/);
    expect(await problemOf(refused)).toMatchObject({ code: 'rate-limited' });
    const limits = await (await gateway.operator('GET', `/v1/keys/${id}/limits`)).json();
    expect(limits).toMatchObject({ budget: null, rateLimit: { limit: 20, remaining: 0 } });
  });

  test('can be changed, and holds for its own key alone', async () => {
    const { id, key } = await newKey({ rateLimit: { requests: 1, windowS: 86_400 } });
    expect([(await ask(key)).status, (await ask(key)).status]).toEqual([200, 429]);
    expect((await ask(gateway.clientKey)).status).toBe(200);
    const change = { rateLimit: { requests: 3, windowS: 86_400 } };
    expect((await gateway.operator('PATCH', `/v1/keys/${id}`, { body: change })).status).toBe(200);
    expect([(await ask(key)).status, (await ask(key)).status, (await ask(key)).status]).toEqual([
      200, 200, 429,
    ]);
    await gateway.operator('PATCH', `/v1/keys/${id}`, { body: { rateLimit: null } });
    expect((await ask(key)).headers.get('ratelimit')).toBeNull();
  });
});

describe('metrics', () => {
  test('are for operators and whoever has their secret, which opens nothing else', async () => {
    const status = async (token: string | undefined, path = '/metrics') =>
      (await send(gateway.url, 'GET', path, token)).status;
    for (const token of [undefined, gateway.clientKey]) expect(await status(token)).toBe(401);
    expect((await gateway.operator('GET', '/metrics')).status).toBe(200);
    for (const path of ['/v1/nodes', '/v1/policy', '/v2']) expect(await status(SCRAPE_TOKEN, path)).toBe(401);

    const { key } = await newKey({ rateLimit: { requests: 1, windowS: 86_400 } });
    expect([(await ask(key)).status, (await ask(key)).status]).toEqual([200, 429]);
    const scraped = await send(gateway.url, 'GET', '/metrics', SCRAPE_TOKEN);
    expect(scraped.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await scraped.text()).toMatch(
      /^spp_gateway_refusals_total\{code="rate-limited",isolate="[0-9a-f]{8}"\} [1-9]/m,
    );
  });
});

describe('a page of another origin', () => {
  const preflight = (origin: string) =>
    fetch(`${gateway.url}/v2`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,x-latency-budget',
      },
    });

  test('may call where the operator lets it, and read what answers say', async () => {
    const allowed = await preflight(APP);
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe(APP);
    expect(allowed.headers.get('access-control-allow-headers')).toContain('x-latency-budget');
    const answer = await ask(gateway.clientKey, { origin: APP });
    expect(answer.headers.get('access-control-allow-origin')).toBe(APP);
    const exposed = answer.headers.get('access-control-expose-headers');
    for (const name of ['x-path-level', 'inference-header-content-length']) expect(exposed).toContain(name);
    const refused = await ask('wrong', { origin: APP });
    expect(refused.status).toBe(401);
    expect(refused.headers.get('access-control-allow-origin')).toBe(APP);
  });

  test('of no such origin is told nothing that its browser would let it read', async () => {
    expect((await preflight('https://evil.example')).headers.get('access-control-allow-origin')).toBeNull();
    const answer = await ask(gateway.clientKey, { origin: 'https://evil.example' });
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });
});
