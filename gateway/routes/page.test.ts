/** Lists that grow without end are told in pages. */
import { beforeAll, expect, test } from 'vitest';
import { defaultPolicy } from '../../schema/policy.ts';
import type { WeighedDecision } from '../decisions/decision-log.ts';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';
import { writeDecisions } from '../storage/decisions.ts';

let here: Isolate;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  here = isolate(bindings);
  return dispose;
});

const ask = (method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>) =>
  here.ask(method, path, secrets.operatorToken, body, headers);

interface Page {
  readonly next: string | number | null;
}

/** What all pages of two entries hold, in order. */
async function allOf<T>(path: string, entries: (page: Page) => T[]): Promise<T[]> {
  const found: T[] = [];
  let before: Page['next'] = null;
  for (let pages = 0; pages < 10; pages++) {
    const at: string = before === null ? '' : `&before=${before}`;
    const page = (await (await ask('GET', `${path}?limit=2${at}`)).json()) as Page;
    expect(entries(page).length).toBeLessThanOrEqual(2);
    found.push(...entries(page));
    before = page.next;
    if (before === null) return found;
  }
  throw new Error(`${path} does not come to an end.`);
}

interface Named {
  readonly name: string;
}

test.each([
  ['/v1/keys', 'keys', {}],
  ['/v1/operator-tokens', 'tokens', { role: 'viewer' }],
])('%s', async (path, member, settings) => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const name of names) await ask('POST', path, { name, ...settings });
  const list = (page: Page) => (page as unknown as Record<string, Named[]>)[member] ?? [];
  const whole = list((await (await ask('GET', path)).json()) as Page).map(({ name }) => name);
  expect(whole.toSorted()).toEqual(names);
  expect((await allOf(path, list)).map(({ name }) => name)).toEqual(whole);
  const unknown = await ask('GET', `${path}?before=nobody`);
  expect(unknown.status).toBe(404);
  expect(await unknown.json()).toMatchObject({ detail: expect.stringContaining('"nobody"') });
});

test('/v1/policy/versions, the default with the last of them', async () => {
  for (let version = 0; version < 4; version++)
    await ask('PUT', '/v1/policy', defaultPolicy, { 'if-match': `"${version}"` });
  const list = (page: Page) => (page as unknown as { versions: { version: number }[] }).versions;
  const versions = (await allOf('/v1/policy/versions', list)).map(({ version }) => version);
  expect(versions).toEqual([4, 3, 2, 1, 0]);
});

test('/v1/audit, those after one that is known', async () => {
  const idsOf = async (query: string) => {
    const { entries } = (await (await ask('GET', `/v1/audit${query}`)).json()) as {
      entries: { id: number }[];
    };
    return entries.map(({ id }) => id);
  };
  const all = await idsOf('');
  expect(all.length).toBeGreaterThan(3);
  expect(await idsOf(`?after=${all[2]}`)).toEqual(all.slice(0, 2));
});

test('/v1/decisions, those after one that is known, without what they were made from', async () => {
  const record = {
    atMs: Date.now(),
    requestId: 'r',
    model: 'tiny',
    policyVersion: 0,
    rules: { slaClass: null, budgetMs: 10 },
    outcome: { status: 200, level: 0, totalMs: 1, costNanoUsd: 0, attempts: ['a'] },
  };
  const one = { record, keyId: null, input: { levels: [] }, weight: 1 } as unknown as WeighedDecision;
  await writeDecisions(
    here.gateway.db,
    Array.from({ length: 5 }, () => one),
    record.atMs,
  );
  const { decisions } = (await (await ask('GET', '/v1/decisions?after=1&before=5')).json()) as {
    decisions: { id: number; record: object }[];
  };
  expect(decisions.map(({ id }) => id)).toEqual([4, 3, 2]);
  expect(decisions[0]?.record).toEqual(record);
});

test('a page that cannot be is refused by name', async () => {
  for (const path of ['/v1/keys', '/v1/policy/versions', '/v1/audit', '/v1/artifacts/tiny']) {
    const response = await ask('GET', `${path}?limit=0`);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ detail: expect.stringContaining('limit') });
  }
});
