/** The trail tells of the changes that were made, and of no others. */
import { beforeAll, expect, test } from 'vitest';
import { deployment, type Isolate, isolate, secrets } from '../isolate.fixture.ts';

let here: Isolate;

beforeAll(async () => {
  const { bindings, dispose } = await deployment();
  here = isolate(bindings);
  return dispose;
});

const ask = (method: string, path: string, body?: unknown) =>
  here.ask(method, path, secrets.operatorToken, body);

async function actionsOn(target: string): Promise<string[]> {
  const { entries } = (await (await ask('GET', '/v1/audit')).json()) as {
    entries: { action: string; target: string }[];
  };
  return entries.filter((entry) => entry.target === target).map(({ action }) => action);
}

const made = [
  ['/v1/keys', { name: 'shop' }, 'id'],
  ['/v1/operator-tokens', { name: 'kim', role: 'viewer' }, 'id'],
  ['/v1/nodes', { name: 'n1', url: 'https://n1.example.org' }, 'name'],
] as const;

test.each(made)('of %s, where several change one at once', async (path, document, name) => {
  const created = (await (await ask('POST', path, document)).json()) as Record<string, string>;
  const target = String(created[name]);
  const at = `${path}/${target}`;
  const rotations = await Promise.all([1, 2, 3].map(() => ask('POST', `${at}/rotate`, {})));
  const rotated = rotations.filter(({ status }) => status === 200).length;
  expect(rotations.map(({ status }) => status).filter((status) => status !== 200 && status !== 409)).toEqual(
    [],
  );
  expect((await actionsOn(target)).filter((action) => action.endsWith('.rotate'))).toHaveLength(rotated);
  await Promise.all([1, 2, 3].map(() => ask('DELETE', at)));
  const ended = (await actionsOn(target)).filter((action) => /\.(revoke|remove)$/.test(action));
  expect(ended).toHaveLength(1);
});
