import { describe, expect, test } from 'vitest';
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { cellMap } from '../state/cell-map.ts';
import { keyHash } from '../storage/keys.ts';
import { type Access, type AccessContext, requireAccess } from './bearer.ts';
import { randomHex, randomToken, sameDigest } from './digests.ts';

const settings = {
  nodes: [],
  operatorToken: 'operator-operator-operator',
  nodeToken: 'node-node-node-node-node',
  keyPepper: 'pepper-pepper-pepper-pepper',
  maxBodyBytes: 1,
  maxArtifactFileBytes: 1,
};

const prefix = 'abcdef012345';
const key = `sp_${prefix}_${randomToken(32)}`;

async function context(over: Partial<ApiKeyRow> = {}, load?: () => Promise<null>): Promise<AccessContext> {
  const salt = randomHex(16);
  const row: ApiKeyRow = {
    id: 'key_1',
    name: 'test',
    prefix,
    salt,
    hash: await keyHash(key, salt, settings.keyPepper),
    createdAtMs: 0,
    expiresAtMs: null,
    revokedAtMs: null,
    ...over,
  };
  const keys = cellMap<ApiKeyRow | null>({
    load: load ?? (async (asked) => (asked === prefix ? row : null)),
    ttlMs: 10,
    now: () => 0,
    onError: () => {},
    limit: 10,
  });
  return { settings, keys, background: { waitUntil: () => {} }, nowMs: 1000 };
}

const allows = async (access: Access, header: string | null, over?: Partial<ApiKeyRow>) =>
  requireAccess(access, header, await context(over)).then(
    () => true,
    (error) => {
      expect(error).toMatchObject({ code: 'unauthorized', status: 401 });
      return false;
    },
  );

describe('access', () => {
  test.each<[Access, string | null, boolean]>([
    ['open', null, true],
    ['operator', `Bearer ${settings.operatorToken}`, true],
    ['operator', `bearer ${settings.operatorToken}`, true],
    ['operator', `Bearer ${settings.operatorToken}x`, false],
    ['operator', `Bearer ${settings.nodeToken}`, false],
    ['operator', `Basic ${settings.operatorToken}`, false],
    ['operator', 'Bearer ', false],
    ['operator', null, false],
    ['operator', `Bearer ${key}`, false],
    ['artifacts', `Bearer ${settings.operatorToken}`, true],
    ['artifacts', `Bearer ${settings.nodeToken}`, true],
    ['artifacts', `Bearer ${key}`, false],
    ['client', `Bearer ${key}`, true],
    ['client', `Bearer ${settings.operatorToken}`, false],
    ['client', `Bearer sp_${prefix}_${'A'.repeat(43)}`, false],
    ['client', `Bearer sp_000000000000_${'A'.repeat(43)}`, false],
    ['client', `Bearer ${key}\u00e9`, false],
  ])('%s with %s: %s', async (access, header, allowed) => {
    expect(await allows(access, header)).toBe(allowed);
  });

  test('a key is good until it expires or is revoked', async () => {
    expect(await allows('client', `Bearer ${key}`, { expiresAtMs: 1001 })).toBe(true);
    expect(await allows('client', `Bearer ${key}`, { expiresAtMs: 1000 })).toBe(false);
    expect(await allows('client', `Bearer ${key}`, { revokedAtMs: 1 })).toBe(false);
  });

  test('a key store that cannot be read lets nobody in', async () => {
    const away = await context({}, () => Promise.reject(new Error('storage is away')));
    await expect(requireAccess('client', `Bearer ${key}`, away)).rejects.toThrow('storage is away');
  });
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
