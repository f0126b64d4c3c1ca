import { describe, expect, test } from 'vitest';
import type { ApiKeyRow, OperatorTokenRow } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import type { OperatorRole } from '../../schema/operator-role.ts';
import { cellMap } from '../state/cell-map.ts';
import { neverRotated } from '../storage/rotation.ts';
import { type AccessContext, requireAccess as requireAccessNow } from './bearer.ts';
import { pooledRandomHex, randomToken, sameDigest } from './digests.ts';
import type { Access } from './identity.ts';
import { newToken, tokenPrefix } from './secret-tokens.ts';

const settings = {
  operatorToken: 'operator-operator-operator',
  nodeToken: 'node-node-node-node-node',
  nodeTokenBefore: 'node-before-node-before-node',
  scrapeToken: 'scrape-scrape-scrape-scrape',
  keyPepper: 'pepper-pepper-pepper-pepper',
};

const requireAccess = async (...asked: Parameters<typeof requireAccessNow>) => requireAccessNow(...asked);

const key = await newToken('sp', settings.keyPepper);
const next = await newToken('sp', settings.keyPepper, key.prefix);
const tokens = {
  viewer: await newToken('op', settings.keyPepper),
  operator: await newToken('op', settings.keyPepper),
  admin: await newToken('op', settings.keyPepper),
};

const node = await newToken('nd', settings.keyPepper);

const keyRow: ApiKeyRow = {
  id: 'key_0123456789abcdef',
  name: 'test',
  prefix: key.prefix,
  salt: key.salt,
  hash: key.hash,
  createdAtMs: 0,
  expiresAtMs: null,
  revokedAtMs: null,
  previousSalt: null,
  previousHash: null,
  previousUntilMs: null,
  earlierSecrets: null,
  classes: null,
  models: null,
  rateLimit: null,
  budget: null,
  budgetRevision: 0,
  mayExplain: false,
};

type Before = Pick<ApiKeyRow, 'previousSalt' | 'previousHash' | 'previousUntilMs'>;

function held<T>(load: (prefix: string) => Promise<T>) {
  return cellMap<T>({ load, ttlMs: 10, now: () => 0, onError: () => {}, limit: 10 });
}

/** @param before of operators' and the node's tokens: the secret that they had before */
function context(
  over: Partial<ApiKeyRow> = {},
  expiresAtMs: number | null = null,
  before: Before = neverRotated,
): AccessContext {
  const operators = Object.entries(tokens).map(
    ([role, { prefix, salt, hash }]): [string, OperatorTokenRow] => [
      prefix,
      {
        id: `op_${role}`,
        name: `the ${role}`,
        role: role as OperatorRole,
        prefix,
        salt,
        hash,
        createdAtMs: 0,
        expiresAtMs,
        revokedAtMs: null,
        ...neverRotated,
        ...before,
      },
    ],
  );
  return {
    settings,
    keys: held(async (prefix) => (prefix === key.prefix ? { ...keyRow, ...over } : null)),
    operatorTokens: held(async (prefix) => new Map(operators).get(prefix) ?? null),
    nodeTokens: held(async (prefix) =>
      prefix === node.prefix ? { name: 'n', ...node, ...neverRotated, ...before } : null,
    ),
    oidc: undefined,
    proven: new Map(),
    background: { waitUntil: () => {} },
    nowMs: 1000,
  };
}

const statusOf = (access: Access, token: string, where = context()) =>
  requireAccess(access, `Bearer ${token}`, where).then(
    () => 200,
    (error: unknown) => (error instanceof SppError ? error.status : Promise.reject(error)),
  );

describe('access', () => {
  const accesses: Access[] = [
    'open',
    'client',
    'viewer',
    'operator',
    'admin',
    'node',
    'artifacts',
    'metrics',
  ];
  test.each<[string, string, number[]]>([
    ["the deployment's own token", settings.operatorToken, [200, 401, 200, 200, 200, 401, 200, 200]],
    ['a viewer', tokens.viewer.token, [200, 401, 200, 403, 403, 401, 200, 200]],
    ['an operator', tokens.operator.token, [200, 401, 200, 200, 403, 401, 200, 200]],
    ['an admin', tokens.admin.token, [200, 401, 200, 200, 200, 401, 200, 200]],
    ['a node', settings.nodeToken, [200, 401, 401, 401, 401, 401, 200, 401]],
    ['a node with the secret before', settings.nodeTokenBefore, [200, 401, 401, 401, 401, 401, 200, 401]],
    ['a registered node', node.token, [200, 401, 401, 401, 401, 200, 200, 401]],
    [
      'a node with another secret',
      `nd_${node.prefix}_${'A'.repeat(43)}`,
      [200, 401, 401, 401, 401, 401, 401, 401],
    ],
    ['whoever reads metrics', settings.scrapeToken, [200, 401, 401, 401, 401, 401, 401, 200]],
    ['a client', key.token, [200, 200, 401, 401, 401, 401, 401, 401]],
    ['nobody', 'x'.repeat(40), [200, 401, 401, 401, 401, 401, 401, 401]],
    ['a longer secret', `${settings.operatorToken}x`, [200, 401, 401, 401, 401, 401, 401, 401]],
    [
      'a key with another secret',
      `sp_${key.prefix}_${'A'.repeat(43)}`,
      [200, 401, 401, 401, 401, 401, 401, 401],
    ],
    ['a key of no row', `sp_000000000000_${randomToken(32)}`, [200, 401, 401, 401, 401, 401, 401, 401]],
    ['a key dressed as a token', key.token.replace('sp_', 'op_'), [200, 401, 401, 401, 401, 401, 401, 401]],
  ])('of %s', async (_, token, wanted) => {
    expect(await Promise.all(accesses.map((access) => statusOf(access, token)))).toEqual(wanted);
  });

  test.each([
    null,
    '',
    'Bearer ',
    `Basic ${key.token}`,
    `Bearer ${key.token}\u00e9`,
    `Bearer ${key.token} x`,
  ])('with the header %j is refused', async (header) => {
    await expect(requireAccess('client', header, context())).rejects.toMatchObject({ status: 401 });
  });

  test('says the same of a key that is not there, of a wrong secret, of an expired and of a revoked one', async () => {
    const refusals = await Promise.all(
      [
        { token: `sp_000000000000_${randomToken(32)}`, over: {} },
        { token: `sp_${key.prefix}_${randomToken(32)}`, over: {} },
        { token: key.token, over: { expiresAtMs: 1000 } },
        { token: key.token, over: { revokedAtMs: 1 } },
      ].map(({ token, over }) =>
        requireAccess('client', `Bearer ${token}`, context(over)).catch((error: SppError) => [
          error.code,
          error.message,
          error.hint,
        ]),
      ),
    );
    expect(new Set(refusals.map((refusal) => JSON.stringify(refusal))).size).toBe(1);
  });

  test('a key and a token are good until they expire', async () => {
    expect(await statusOf('client', key.token, context({ expiresAtMs: 1001 }))).toBe(200);
    expect(await statusOf('client', key.token, context({ expiresAtMs: 1000 }))).toBe(401);
    expect(await statusOf('admin', tokens.admin.token, context({}, 1001))).toBe(200);
    expect(await statusOf('admin', tokens.admin.token, context({}, 1000))).toBe(401);
  });

  test('the secret before a rotation is good for the overlap and no longer', async () => {
    const rotated = {
      salt: next.salt,
      hash: next.hash,
      previousSalt: key.salt,
      previousHash: key.hash,
      previousUntilMs: 1001,
    };
    expect(await statusOf('client', next.token, context(rotated))).toBe(200);
    expect(await statusOf('client', key.token, context(rotated))).toBe(200);
    expect(await statusOf('client', key.token, context({ ...rotated, previousUntilMs: 1000 }))).toBe(401);
    expect(await statusOf('client', key.token, context({ ...rotated, revokedAtMs: 1 }))).toBe(401);
  });

  test.each([
    ['an operator', 'admin', 'op'],
    ['a registered node', 'node', 'nd'],
  ] as const)(
    '%s is known by the secret before a rotation for the overlap and no longer',
    async (_, access, kind) => {
      const { prefix } = kind === 'op' ? tokens.admin : node;
      const old = await newToken(kind, settings.keyPepper, prefix);
      const before = { previousSalt: old.salt, previousHash: old.hash };
      const until = (previousUntilMs: number) => context({}, null, { ...before, previousUntilMs });
      expect(await statusOf(access, old.token, until(1001))).toBe(200);
      expect(await statusOf(access, old.token, until(1000))).toBe(401);
      expect(await statusOf(access, kind === 'op' ? tokens.admin.token : node.token, until(1001))).toBe(200);
    },
  );

  test('whoever has proved a key is let in again without waiting, and only with that very secret', async () => {
    const where = context({ expiresAtMs: 2000 });
    const ask = (token: string, nowMs = 1000) =>
      requireAccessNow('client', `Bearer ${token}`, { ...where, nowMs });
    await ask(key.token);
    expect(ask(key.token)).toMatchObject({ kind: 'client', key: { id: keyRow.id } });
    const other = `${key.token.slice(0, -1)}${key.token.endsWith('A') ? 'B' : 'A'}`;
    await expect(ask(other)).rejects.toMatchObject({ status: 401 });
    await expect(ask(key.token, 2000)).rejects.toMatchObject({ status: 401 });
  });

  test('nor does who shows the secret before a rotation, to the end of its overlap', async () => {
    const rotated = { salt: next.salt, hash: next.hash, previousSalt: key.salt, previousHash: key.hash };
    const where = context({ ...rotated, previousUntilMs: 1500 });
    const ask = (nowMs: number) => requireAccessNow('client', `Bearer ${key.token}`, { ...where, nowMs });
    await ask(1000);
    expect(ask(1499)).toMatchObject({ kind: 'client', key: { id: keyRow.id } });
    await expect(ask(1500)).rejects.toMatchObject({ status: 401 });
  });

  test('white space in front of a key lets it in, and fills nothing', async () => {
    const where = context();
    for (let spaces = 100; spaces < 110; spaces++)
      expect(await requireAccess('client', `Bearer${' '.repeat(spaces)}${key.token}`, where)).toMatchObject({
        kind: 'client',
      });
    expect(where.proven.size).toBe(0);
  });

  test('a store that cannot be read lets nobody in', async () => {
    const away = { ...context(), keys: held(() => Promise.reject(new Error('storage is away'))) };
    await expect(statusOf('client', key.token, away)).rejects.toThrow('storage is away');
  });
});

test('what is stored of a token neither is nor holds its secret, and differs for equal tokens', async () => {
  const again = await newToken('sp', settings.keyPepper, key.prefix);
  expect(tokenPrefix('sp', again.token)).toBe(key.prefix);
  // The secret itself may hold underscores.
  const secret = key.token.slice(`sp_${key.prefix}_`.length);
  expect(JSON.stringify([key.prefix, key.salt, key.hash])).not.toContain(secret);
  expect(key.hash).not.toBe(again.hash);
});

test('digests are equal only when every byte is', () => {
  const digest = Uint8Array.of(1, 2, 3);
  expect(sameDigest(digest, Uint8Array.of(1, 2, 3))).toBe(true);
  for (const other of [
    [1, 2, 4],
    [0, 2, 3],
    [1, 2],
    [1, 2, 3, 0],
  ])
    expect(sameDigest(digest, Uint8Array.from(other))).toBe(false);
});

test('random text from a pool is as long as was asked for and never the same', () => {
  const randomHex = pooledRandomHex();
  const drawn = Array.from({ length: 1000 }, () => randomHex(8));
  expect(new Set(drawn).size).toBe(1000);
  for (const text of [...drawn, randomHex(8)]) expect(text).toMatch(/^[0-9a-f]{16}$/);
  expect(randomHex(5000)).toHaveLength(10_000);
});
