/** Money, classes, reasons, dry runs and canaries through the real runtime, on nodes whose times the test sets. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type ContractFleet, contractFleet, fleetInput } from './support/contract-fleet.ts';
import { send } from './support/gateway.ts';
import { disposables, problemOf, tinyRequest } from './support/node-client.ts';

const scope = disposables();
let fleet: ContractFleet;

beforeAll(async () => {
  fleet = await contractFleet(scope);
});
afterAll(() => scope.dispose());
beforeEach(() => fleet.reset());

/** Level k costs 100 000 (k + 1) nano-dollars. */
const prices = [0, 1, 2].map((level) => ({
  nodeClass: '*',
  model: '*',
  level,
  fixedNanoUsd: 100_000 * (level + 1),
  perMsNanoUsd: 0,
  perKiBNanoUsd: 0,
}));

async function newKey(settings: object): Promise<{ id: string; key: string }> {
  const body = { name: 'test', ...settings };
  const created = await fleet.gateway.operator('POST', '/v1/keys', { body });
  expect(created.status).toBe(201);
  return (await created.json()) as { id: string; key: string };
}

const infer = (key: string, headers: Record<string, string> = {}) =>
  send(fleet.gateway.url, 'POST', '/v2/models/tiny/infer', key, {
    body: tinyRequest(fleetInput, [2]),
    headers,
  });

const limitsOf = async (id: string) =>
  (await (await fleet.gateway.operator('GET', `/v1/keys/${id}/limits`)).json()) as {
    budget: Record<string, number>;
  };

/** First, while the window that decisions are sampled from has no others. */
describe('a policy', () => {
  test('is tried on recorded decisions before it is made', async () => {
    for (const budget of ['800ms', '3s', '15s'])
      await infer(fleet.gateway.clientKey, {
        'x-latency-budget': budget,
        'x-request-id': `recorded-${budget}`,
      });
    const kept = () => fleet.gateway.operator('GET', '/v1/decisions/recorded-15s');
    await vi.waitFor(async () => expect((await kept()).status).toBe(200), { timeout: 30_000, interval: 500 });
    expect(await (await kept()).json()).toMatchObject({
      decisions: [{ record: { chosen: { level: 2 }, input: { asked: { latencyMs: 15_000 } } } }],
    });
    const document = (await (await fleet.gateway.operator('GET', '/v1/policy')).json()) as object;
    const run = (over: object) =>
      fleet.gateway.operator('POST', '/v1/policy/dry-run?limit=1000', { body: { ...document, ...over } });
    const same = (await (await run({})).json()) as { decisions: number; changedShare: number };
    expect(same.decisions).toBeGreaterThanOrEqual(3);
    expect(same.changedShare).toBe(0);
    const sparser = (await (await run({ minSparsity: 0.5 })).json()) as {
      changed: { requestId: string }[];
      after: { levels: object };
    };
    const changed = sparser.changed.map(({ requestId }) => requestId);
    expect(changed).toEqual(expect.arrayContaining(['recorded-3s', 'recorded-15s']));
    expect(changed).not.toContain('recorded-800ms');
    expect(sparser.after.levels).toEqual({ tiny: { 0: expect.any(Number) } });
    expect((await run({ minQuality: 0.99 })).status).toBe(422);
  });
});

describe('what a request costs', () => {
  test('is told, bounded by its own budget, and decides the level', async () => {
    await fleet.policy({ prices });
    const whole = await infer(fleet.gateway.clientKey);
    expect([whole.headers.get('x-path-level'), whole.headers.get('x-cost')]).toEqual(['2', '0.0003']);
    const cheap = await infer(fleet.gateway.clientKey, { 'x-cost-budget': '200u' });
    expect([cheap.headers.get('x-path-level'), cheap.headers.get('x-cost')]).toEqual(['1', '0.0002']);
    const nothing = await infer(fleet.gateway.clientKey, { 'x-cost-budget': '99u' });
    expect(nothing.status).toBe(422);
    expect(await problemOf(nothing)).toMatchObject({ code: 'cost-infeasible', costNanoUsd: 100_000 });
  });

  test('is spent from the key’s budget: of 200 requests at once exactly the 100 that it is for are served', async () => {
    await fleet.policy({ prices, maxSparsity: 1, minSparsity: 0.5 });
    const { id, key } = await newKey({ budget: { nanoUsd: 100 * 100_000, period: 'total' } });
    // A latency budget that so many requests at once leave room in.
    const patient = { 'x-latency-budget': '86400s' };
    /** A node that shares this process may be slow to report; like any client, this one comes again then. */
    const persistent = async (): Promise<number> => {
      const { status } = await infer(key, patient);
      if (status !== 503) return status;
      await pause(500);
      return persistent();
    };
    const statuses = await Promise.all(Array.from({ length: 200 }, persistent));
    expect(statuses.filter((status) => status === 200)).toHaveLength(100);
    expect(statuses.filter((status) => status === 402)).toHaveLength(100);
    const served = [...fleet.a.seen, ...fleet.b.seen].length;
    // Copies that probe a node are paid by nobody.
    expect(served).toBeGreaterThanOrEqual(100);
    expect(await problemOf(await infer(key, patient))).toMatchObject({
      code: 'cost-exhausted',
      remainingNanoUsd: 0,
    });
    await vi.waitFor(
      async () => expect((await limitsOf(id)).budget).toMatchObject({ spent: 10_000_000, leased: 0 }),
      {
        timeout: 10_000,
        interval: 200,
      },
    );
  });

  test('of what fails is given back', async () => {
    await fleet.policy({ prices, minSparsity: 0.5 });
    const { id, key } = await newKey({ budget: { nanoUsd: 200_000, period: 'day' } });
    for (const node of [fleet.a, fleet.b]) node.behaviour = 'decline';
    for (let i = 0; i < 4; i++) expect((await infer(key)).status).toBe(503);
    for (const node of [fleet.a, fleet.b]) node.behaviour = 'answer';
    await fleet.usable(['a', 'b']);
    await vi.waitFor(async () => expect((await infer(key)).status).toBe(200), {
      timeout: 20_000,
      interval: 100,
    });
    expect((await infer(key)).status).toBe(200);
    expect((await infer(key)).status).toBe(402);
    await vi.waitFor(
      async () => expect((await limitsOf(id)).budget).toMatchObject({ spent: 200_000, leased: 0 }),
      {
        timeout: 10_000,
        interval: 200,
      },
    );
  });
});

describe('a class', () => {
  test('changes the rules for its requests, and is for the keys that may use it', async () => {
    await fleet.policy({ classes: [{ name: 'gold' }, { name: 'bulk', minSparsity: 0.5 }] });
    const { key } = await newKey({ classes: ['bulk'], models: ['tiny'] });
    expect((await infer(key)).headers.get('x-path-level')).toBe('0');
    const any = fleet.gateway.clientKey;
    expect((await infer(any, { 'x-sla-class': 'gold' })).headers.get('x-path-level')).toBe('2');
    expect((await infer(any, { 'x-sla-class': 'bulk' })).headers.get('x-path-level')).toBe('0');
    for (const name of ['gold', 'nowhere']) {
      const refused = await infer(key, { 'x-sla-class': name });
      expect(refused.status).toBe(403);
      expect(await problemOf(refused)).toMatchObject({ code: 'forbidden' });
    }
    const other = await newKey({ models: ['something-else'] });
    const hidden = await infer(other.key);
    expect(hidden.status).toBe(404);
    const { hint } = await problemOf(hidden);
    expect(hint).not.toContain('tiny');
    expect(hint).toContain('something-else');
  });
});

describe('the reasons of a decision', () => {
  test('go to keys that may have them, with an answer and with a refusal', async () => {
    const { key } = await newKey({ mayExplain: true });
    // What a crowd of requests took on a busy machine says nothing of the next process.
    for (const node of [fleet.a, fleet.b]) node.life++;
    await fleet.usable(['a', 'b']);
    const answer = await infer(key, { 'x-explain': '1', 'x-latency-budget': '3s' });
    const reasons = JSON.parse(answer.headers.get('x-path-explanation') ?? '');
    expect(reasons).toMatchObject({
      kind: 'serve',
      fits: true,
      chosen: { level: 1 },
      rules: { budgetMs: 3000 },
    });
    expect(reasons.drops).toContainEqual(
      expect.objectContaining({ level: 2, reason: 'over the latency budget' }),
    );
    const refused = await infer(key, { 'x-explain': '1', 'x-latency-budget': '20ms' });
    expect(refused.status).toBe(422);
    expect(JSON.parse(refused.headers.get('x-path-explanation') ?? '')).toMatchObject({ kind: 'infeasible' });
    const plain = await infer(key);
    expect(plain.headers.get('x-path-explanation')).toBeNull();
    expect((await infer(fleet.gateway.clientKey, { 'x-explain': '1' })).status).toBe(403);
    expect((await infer(key, { 'x-explain': 'please' })).status).toBe(400);
  });
});

describe('a change of the policy', () => {
  test('that can match nothing is refused; one that matches nothing in part is told of', async () => {
    const before = await fleet.gateway.operator('GET', '/v1/policy');
    const put = async (over: object) =>
      fleet.gateway.operator('PUT', '/v1/policy', {
        body: { ...((await before.clone().json()) as object), ...over },
        headers: { 'if-match': before.headers.get('etag') as string },
      });
    const nothing = await put({ minQuality: 0.99 });
    expect(nothing.status).toBe(422);
    expect(await problemOf(nothing)).toMatchObject({ code: 'bad-policy', errors: [{ path: '' }] });
    await newKey({ classes: ['bygone'] });
    const tiers = [{ name: 'none', upToMs: 10, minSparsity: 0.9, maxSparsity: 1 }];
    const body = { ...((await before.clone().json()) as object), tiers };
    const tried = await fleet.gateway.operator('POST', '/v1/policy/validate', { body });
    expect(await tried.json()).toMatchObject({ warnings: [{ path: 'tiers[0]' }, { path: 'classes' }] });
    const part = await put({ tiers });
    expect(part.status).toBe(200);
    expect(part.headers.get('x-policy-warnings')).toBe('2');
  });

  test('may govern a share of the requests first, the same one for a request that is repeated', async () => {
    const old = await fleet.policy({ minSparsity: 0.5 });
    const next = await fleet.policy({ canary: { kind: 'policy', baseline: Number(old), share: 0.5 } });
    const versions = new Map<string, string>();
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 20; i++) {
        const id = `canary-${i}`;
        const answer = await infer(fleet.gateway.clientKey, { 'x-request-id': id });
        const version = answer.headers.get('x-policy-version') ?? '';
        expect(answer.headers.get('x-path-level')).toBe(version === next ? '2' : '0');
        expect(versions.get(id) ?? version).toBe(version);
        versions.set(id, version);
      }
    }
    expect(new Set(versions.values())).toEqual(new Set([old, next]));
  });

  test('may send a share of the requests to another artifact version', async () => {
    fleet.b.version = 'v2';
    await fleet.usable(['a', 'b']);
    const version = async () => (await infer(fleet.gateway.clientKey)).headers.get('x-artifact-version');
    const canary = (share: number) =>
      ({ kind: 'artifact', model: 'tiny', baseline: 'v1', candidate: 'v2', share }) as const;
    expect(await version()).toBe('v2');
    const document = (await (await fleet.gateway.operator('GET', '/v1/policy')).json()) as object;
    const body = { ...document, canary: canary(0.5) };
    const tried = await fleet.gateway.operator('POST', '/v1/policy/dry-run', { body });
    const { warnings } = (await tried.json()) as { warnings: { path: string; message: string }[] };
    expect(warnings).toContainEqual({ path: 'canary', message: expect.stringContaining('does not show') });
    await fleet.policy({ canary: canary(0) });
    expect(await version()).toBe('v1');
    await fleet.policy({ canary: canary(1) });
    expect(await version()).toBe('v2');
    await fleet.b.kill();
    await fleet.usable(['a']);
    expect(await version()).toBe('v1');
  });
});
