/** What rotations promise of the secrets before, on a clock that the test sets. */
import { beforeAll, expect, test } from 'vitest';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';

let nowMs = Date.UTC(2026, 0, 1);
let here: Isolate;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  here = isolate(bindings, () => nowMs);
  return dispose;
});

const HOUR_S = 3600;

interface Shown {
  readonly id: string;
  readonly name: string;
  readonly key?: string;
  readonly token?: string;
  readonly earlierUntilMs: number[];
}

/** What has secrets that are rotated: how it is made, and what shows whether a secret is good. */
const kinds = [
  ['keys', { name: 'shop' }, ['GET', '/v2'], 401],
  ['operator-tokens', { name: 'ada', role: 'viewer' }, ['GET', '/v1/policy'], 401],
  ['nodes', { name: 'n1', url: 'https://node.example.org' }, ['POST', '/v1/heartbeats'], 401],
] as const;

async function made(kind: (typeof kinds)[number]) {
  const [list, document, [method, path], refused] = kind;
  const shown = async (address: string, body: object) => {
    const response = await here.ask('POST', address, secrets.operatorToken, body);
    const text = await response.text();
    expect(response.status, text).toBeLessThan(300);
    return JSON.parse(text) as Shown;
  };
  const first = await shown(`/v1/${list}`, document);
  const address = `/v1/${list}/${list === 'nodes' ? first.name : first.id}`;
  return {
    first: secretOf(first),
    rotate: async (overlapS: number) => shown(`${address}/rotate`, { overlapS }),
    refusedRotation: (overlapS: number) =>
      here.ask('POST', `${address}/rotate`, secrets.operatorToken, { overlapS }),
    /** A heartbeat of a good token is refused for what it says, and not for who says it. */
    isGood: async (secret: string) =>
      (await here.ask(method, path, secret, method === 'POST' ? {} : undefined)).status !== refused,
    remove: () => here.ask('DELETE', address, secrets.operatorToken),
  };
}

const secretOf = ({ key, token }: Shown) => key ?? token ?? '';

test.each(kinds.map((kind) => [kind[0], kind] as const))(
  '%s: each secret is good to the end of its own overlap, however often there is another',
  async (_, kind) => {
    const { first, rotate, isGood, remove } = await made(kind);
    const second = secretOf(await rotate(3 * HOUR_S));
    nowMs += HOUR_S * 1000;
    const third = await rotate(HOUR_S);
    expect(third.earlierUntilMs).toEqual([nowMs + 2 * HOUR_S * 1000]);
    const all = [first, second, secretOf(third)];
    const good = () => Promise.all(all.map(isGood));
    expect(await good()).toEqual([true, true, true]);
    nowMs += HOUR_S * 1000 - 1;
    expect(await good()).toEqual([true, true, true]);
    nowMs += 1;
    expect(await good()).toEqual([true, false, true]);
    nowMs += HOUR_S * 1000 - 1;
    expect(await good()).toEqual([true, false, true]);
    nowMs += 1;
    expect(await good()).toEqual([false, false, true]);
    await remove();
    expect(await good()).toEqual([false, false, false]);
  },
);

test.each(kinds.map((kind) => [kind[0], kind] as const))(
  '%s: a rotation that would end an overlap early is refused, and says until when; one without overlap ends all',
  async (_, kind) => {
    const { first, rotate, refusedRotation, isGood, remove } = await made(kind);
    const all = [first];
    for (const hours of [4, 2, 3]) all.push(secretOf(await rotate(hours * HOUR_S)));
    const refused = await refusedRotation(HOUR_S);
    const problem = (await refused.json()) as { code: string; untilMs: number; detail: string };
    expect([refused.status, problem.code]).toEqual([409, 'conflict']);
    expect(problem.untilMs).toBe(nowMs + 2 * HOUR_S * 1000);
    expect(problem.detail).toContain(new Date(problem.untilMs).toISOString());
    expect(await Promise.all(all.map(isGood))).toEqual([true, true, true, true]);
    nowMs = problem.untilMs;
    all.push(secretOf(await rotate(HOUR_S)));
    expect(await Promise.all(all.map(isGood))).toEqual([true, false, true, true, true]);
    all.push(secretOf(await rotate(0)));
    expect(await Promise.all(all.map(isGood))).toEqual([false, false, false, false, false, true]);
    await remove();
  },
);

test('what has expired gets no secret that would be good for nothing', async () => {
  for (const [list, document] of [
    ['keys', { name: 'shop', expiresInDays: 1 }],
    ['operator-tokens', { name: 'ada', role: 'viewer', expiresInDays: 1 }],
  ] as const) {
    const created = await here.ask('POST', `/v1/${list}`, secrets.operatorToken, document);
    const { id } = (await created.json()) as Shown;
    const rotated = () =>
      here.ask('POST', `/v1/${list}/${id}/rotate`, secrets.operatorToken, { overlapS: 60 });
    nowMs += 86_400_000 - 1;
    expect((await rotated()).status).toBe(200);
    nowMs += 1;
    expect((await rotated()).status).toBe(409);
  }
});

test.each(['operator', 'oidc:ada', 'node'])(
  'an operator’s token is not called %s, as others are in the audit trail',
  async (name) => {
    const body = { name, role: 'viewer' };
    expect((await here.ask('POST', '/v1/operator-tokens', secrets.operatorToken, body)).status).toBe(400);
  },
);
