/** Stores that fail while operators ask: nobody's fault but theirs, and they show nothing of themselves. */
import { beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { routes } from '../app.ts';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';
import type { Bindings } from '../settings.ts';
import { foreseen, ofStore } from './store-failure.ts';

const SAID = 'D1_ERROR: disk 7 of shard-secret is away';
let away = false;
let nowMs = Date.now();
let here: Isolate;

async function asked<T>(ask: () => Promise<T>): Promise<T> {
  if (away) throw new Error(SAID);
  return ask();
}

class Statement {
  readonly own: D1PreparedStatement;
  constructor(own: D1PreparedStatement) {
    this.own = own;
  }
  bind(...values: unknown[]) {
    return new Statement(this.own.bind(...values));
  }
  all = () => asked(() => this.own.all());
  raw = () => asked(() => this.own.raw());
  run = () => asked(() => this.own.run());
}

const database = (db: D1Database) => ({
  prepare: (query: string) => new Statement(db.prepare(query)),
  batch: (statements: Statement[]) => asked(() => db.batch(statements.map(({ own }) => own))),
});

const nothingThere = () => asked(async () => null);
const bucket = { head: nothingThere, get: nothingThere, put: nothingThere, list: nothingThere };
const ledgers = { idFromName: () => 'id', get: () => ({ view: nothingThere }) };

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  const stores = { DB: database(bindings.DB), ARTIFACTS: bucket, LEDGERS: ledgers };
  here = isolate({ ...bindings, ...stores } as unknown as Bindings, () => nowMs);
  return dispose;
});
beforeEach(() => {
  away = false;
  // Copies that the isolate has are old.
  nowMs += 60_000;
  vi.spyOn(console, 'error').mockImplementation(() => {});
});

const ask = (method: string, path: string, body?: unknown, headers?: object) =>
  here.ask(method, path, secrets.operatorToken, body, headers);

const sha256 = { 'x-content-sha256': '0'.repeat(64), 'content-length': '0' };

/** What each route takes that reads or writes a store. */
const bodies: Readonly<Record<string, unknown>> = {
  'POST /v1/keys': { name: 'shop' },
  'PATCH /v1/keys/:id': { name: 'other' },
  'POST /v1/operator-tokens': { name: 'ada', role: 'viewer' },
  'POST /v1/nodes': { name: 'n', url: 'https://node.example.org' },
  'PATCH /v1/nodes/:name': { draining: true },
  'POST /v1/policy/rollback': { version: 0 },
};

const operated = routes.filter(
  ({ access, path }) => ['viewer', 'operator', 'admin', 'artifacts'].includes(access) && path !== '/metrics',
);

test.each(operated.map(({ method, path }) => `${method} ${path}`))(
  '%s says for a moment that it cannot, and nothing of what the store said',
  async (route) => {
    const [method = '', path = ''] = route.split(' ');
    const policy = path.startsWith('/v1/policy') ? await (await ask('GET', '/v1/policy')).json() : {};
    away = true;
    const body = method === 'GET' || method === 'DELETE' ? undefined : (bodies[route] ?? policy);
    const address = path
      .replace(':version', path.startsWith('/v1/policy') ? '1' : 'v1')
      .replace(/:\w+/g, 'x');
    const response = await ask(method, address, body, { 'if-match': '"0"', ...sha256 });
    const text = await response.text();
    expect([response.status, response.headers.get('retry-after')], text).toEqual([503, '1']);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(JSON.parse(text)).toMatchObject({ code: 'not-ready', type: '/problems/not-ready' });
    expect(text).not.toMatch(/D1|disk|shard|select|insert/i);
  },
);

test('a key that is known serves on for seconds, and then its request is told the same', async () => {
  const { key } = (await (await ask('POST', '/v1/keys', { name: 'shop' })).json()) as { key: string };
  const withKey = () => here.ask('GET', '/v2', key);
  expect((await withKey()).status).toBe(200);
  away = true;
  nowMs += 4999;
  expect((await withKey()).status).toBe(200);
  nowMs += 1;
  const refused = await withKey();
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  away = false;
  expect((await withKey()).status).toBe(200);
});

test('a statement that breaks a rule of the tables is a mistake, which trying again would not mend', async () => {
  const failed = (message: string) =>
    ofStore('database', Promise.reject(new Error(message))).catch((error: unknown) => foreseen(error, true));
  expect(await failed('D1_ERROR: NOT NULL constraint failed: audit.target')).toMatchObject({
    name: 'StoreFailure',
  });
  expect(await failed('Network connection lost.')).toMatchObject({ code: 'not-ready' });
});
