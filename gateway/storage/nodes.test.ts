/** Registered nodes that several operators change at once. */
import { beforeAll, expect, test } from 'vitest';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';
import { report } from '../nodes/fleet.fixture.ts';

let nowMs = Date.now();
let here: Isolate;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  here = isolate(bindings, () => nowMs);
  return dispose;
});

const ask = (method: string, path: string, body?: unknown) =>
  here.ask(method, path, secrets.operatorToken, body);

const register = async (name: string) => {
  const made = await ask('POST', '/v1/nodes', { name, url: `https://${name}.example.org` });
  expect(made.status).toBe(201);
  return ((await made.json()) as { token: string }).token;
};

const changesOf = async (name: string) => {
  const { entries } = (await (await ask('GET', '/v1/audit')).json()) as {
    entries: { action: string; target: string; detail: object }[];
  };
  return entries.filter(({ action, target }) => action === 'node.change' && target === name);
};

test('changes to different fields all come about: nobody else’s draining is undone', async () => {
  for (const name of ['n1', 'n2', 'n3']) {
    await register(name);
    const changes = [{ class: 'gpu' }, { draining: true }].map((change) =>
      ask('PATCH', `/v1/nodes/${name}`, change),
    );
    for (const { status } of await Promise.all(changes)) expect(status).toBe(200);
    const node = await (await ask('GET', `/v1/nodes/${name}`)).json();
    expect(node).toMatchObject({ nodeClass: 'gpu', draining: true });
    expect(await changesOf(name)).toHaveLength(2);
  }
});

test('a change beside a removal is told only where it was made', async () => {
  for (const name of ['m1', 'm2', 'm3']) {
    await register(name);
    const [changed] = await Promise.all([
      ask('PATCH', `/v1/nodes/${name}`, { draining: true }),
      ask('DELETE', `/v1/nodes/${name}`),
    ]);
    expect(await changesOf(name)).toHaveLength(changed.status === 200 ? 1 : 0);
  }
});

test('a heartbeat counts also after one that came by a clock that was ahead', async () => {
  const token = await register('late');
  const heardAt = async () => {
    expect((await here.ask('POST', '/v1/heartbeats', token, report('late'))).status).toBe(200);
    return ((await (await ask('GET', '/v1/nodes/late')).json()) as { heardAtMs: number }).heardAtMs;
  };
  for (const byMs of [0, 86_400_000, -86_400_000, 2000]) {
    nowMs += byMs;
    expect(await heardAt()).toBe(nowMs);
  }
});
