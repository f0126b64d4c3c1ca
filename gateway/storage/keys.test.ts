/** Client keys that several operators change at once. */
import { beforeAll, expect, test } from 'vitest';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';

let here: Isolate;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  here = isolate(bindings);
  return dispose;
});

const ask = async (method: string, path: string, body?: unknown) =>
  (await here.ask(method, path, secrets.operatorToken, body)).json();

const newKey = async () => ((await ask('POST', '/v1/keys', { name: 'k0' })) as { id: string }).id;

interface Change {
  readonly action: string;
  readonly target: string;
  readonly detail: Record<string, { from: unknown; to: unknown }>;
}

/** Oldest first. */
const changesOf = async (id: string) => {
  const { entries } = (await ask('GET', '/v1/audit')) as { entries: Change[] };
  return entries.filter(({ action, target }) => action === 'key.change' && target === id).reverse();
};

test('of changes to one field, each begins in the trail where the one before ended', async () => {
  const id = await newKey();
  const names = Array.from({ length: 6 }, (_, i) => `k${i + 1}`);
  await Promise.all(names.map((name) => ask('PATCH', `/v1/keys/${id}`, { name })));
  const steps = (await changesOf(id)).map(({ detail }) => detail.name);
  expect(steps.map((step) => step?.to).toSorted()).toEqual(names);
  expect(steps.map((step) => step?.from)).toEqual(['k0', ...steps.slice(0, -1).map((step) => step?.to)]);
  expect(await ask('GET', `/v1/keys/${id}`)).toMatchObject({ name: steps.at(-1)?.to });
});

test('changes to different fields all come about', async () => {
  const id = await newKey();
  const rateLimit = { requests: 5, windowS: 10 };
  const budget = { nanoUsd: 1000, period: 'day' };
  await Promise.all(
    [{ models: ['m'] }, { rateLimit }, { budget }, { mayExplain: true }].map((change) =>
      ask('PATCH', `/v1/keys/${id}`, change),
    ),
  );
  expect(await ask('GET', `/v1/keys/${id}`)).toMatchObject({
    models: ['m'],
    rateLimit,
    budget,
    mayExplain: true,
  });
  expect(await changesOf(id)).toHaveLength(4);
});

test('a rotation that a revocation comes before is told of that', async () => {
  for (let i = 0; i < 4; i++) {
    const id = await newKey();
    const rotations = Array.from({ length: 2 }, () => ask('POST', `/v1/keys/${id}/rotate`, { overlapS: 0 }));
    const revoked = here.ask('DELETE', `/v1/keys/${id}`, secrets.operatorToken);
    const [first, second] = (await Promise.all(rotations)) as { code?: string; detail?: string }[];
    expect((await revoked).status).toBe(204);
    // Nobody was shown a secret where both were refused.
    if (first?.code === 'conflict' && second?.code === 'conflict')
      for (const { detail } of [first, second]) expect(detail).toMatch(/revoked/);
  }
});

test('what is as it was changes nothing, and null can be set and changed', async () => {
  const id = await newKey();
  await ask('PATCH', `/v1/keys/${id}`, { name: 'k0', models: null });
  expect(await changesOf(id)).toEqual([]);
  for (const models of [['a', 'b'], null, ['c']]) await ask('PATCH', `/v1/keys/${id}`, { models });
  expect((await changesOf(id)).map(({ detail }) => detail.models)).toEqual([
    { from: null, to: ['a', 'b'] },
    { from: ['a', 'b'], to: null },
    { from: null, to: ['c'] },
  ]);
});
