import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ApiKeyRow } from '../schema/db/tables.ts';
import { defaultPolicy } from '../schema/policy.ts';
import { createApp } from './app.ts';
import { newToken } from './auth/secret-tokens.ts';
import type { Gateway } from './gateway.ts';
import { steadyClock } from './state/steady-clock.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const PEPPER = 'pepper-pepper-pepper-pepper';
const never = new Promise<never>(() => {});

/** A gateway of which only what stands before the selection is there, and the ledger never answers. */
async function withoutLedger(policy?: object) {
  const { token, prefix, salt, hash } = await newToken('sp', PEPPER);
  const row = { id: 'key_1', prefix, salt, hash, expiresAtMs: null, revokedAtMs: null, previousSalt: null };
  const refused: string[] = [];
  const known = vi.fn(() => (policy === undefined ? never : { policy, catalog: new Map() }));
  const gateway = {
    settings: { keyPepper: PEPPER, corsOrigins: [] },
    keys: { get: async () => row as unknown as ApiKeyRow, within: async () => row as unknown as ApiKeyRow },
    purses: { of: () => ({ take: () => never }), tend: () => {} },
    metrics: { refused: (code: string) => void refused.push(code) },
    known,
    policy: { held: () => policy },
    proven: new Map(),
    randomHex: (bytes: number) => '0'.repeat(2 * bytes),
    now: Date.now,
    steady: steadyClock(Date.now),
  } as unknown as Gateway;
  Object.assign(row, { rateLimit: { requests: 1, windowS: 1 } });
  return { app: createApp(gateway), token, refused, known };
}

test.each([
  ['of its own', { 'x-latency-budget': '40ms' }, undefined],
  ['of the policy', {}, { document: { ...defaultPolicy, defaultLatencyBudgetMs: 40 } }],
])(
  'a budget %s covers the checks before the selection, whatever they wait for',
  async (_, budget, policy) => {
    const { app, token, refused } = await withoutLedger(policy);
    const context = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} };
    const headers = new Headers({ authorization: `Bearer ${token}`, ...budget });
    let answer: Response | undefined;
    const request = new Request('http://gateway/v2/models/m/infer', { method: 'POST', headers, body: '{}' });
    const asked = Promise.resolve(app.fetch(request, {}, context as unknown as ExecutionContext)).then(
      (response) => {
        answer = response;
      },
    );
    // The key is proved by real cryptography, which fake timers do not wait for.
    await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1), { interval: 0 });
    await vi.advanceTimersByTimeAsync(39);
    expect(answer).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    await asked;
    expect(answer?.status).toBe(504);
    expect(await answer?.json()).toMatchObject({ code: 'budget-overrun' });
    expect(refused).toEqual(['budget-overrun']);
  },
);

test('what inference goes by is read beside the key, and to its end where the key is refused', async () => {
  const { app, known } = await withoutLedger();
  const kept: Promise<unknown>[] = [];
  const context = { waitUntil: (work: Promise<unknown>) => void kept.push(work), props: {} };
  const headers = { authorization: `Bearer sp_${'0'.repeat(12)}_${'A'.repeat(43)}` };
  const request = new Request('http://gateway/v2/models/m/infer', { method: 'POST', headers, body: '{}' });
  const asked = app.fetch(request, {}, context as unknown as ExecutionContext);
  expect(known).toHaveBeenCalledTimes(1);
  expect((await asked).status).toBe(401);
  expect(kept).toHaveLength(1);
});

test.each(['/v2/models/m/infer', '/v2/models/m/infer?x=1', '/v2/models/%6d/infer'])(
  '%s is inference, by the short way or by the router',
  async (path) => {
    const { app, refused } = await withoutLedger();
    const context = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} };
    const headers = { 'x-request-id': 'r1' };
    const request = new Request(`http://gateway${path}`, { method: 'POST', headers, body: '{}' });
    const answer = await app.fetch(request, {}, context as unknown as ExecutionContext);
    expect(answer.status).toBe(401);
    expect(answer.headers.get('x-request-id')).toBe('r1');
    expect(refused).toEqual(['unauthorized']);
  },
);
