/**
 * Tokens made here: `<kind>_<prefix>_<secret>`. The prefix finds the row, the secret proves the token. Shown once, kept
 * as an HMAC-SHA256 of salt and token under the deployment's pepper.
 */
import { hex, hmacSha256, randomHex, randomToken, sameDigest } from './digests.ts';

/** `sp` is a client's key, `op` an operator's token, `nd` a registered node's. */
export type TokenKind = 'sp' | 'op' | 'nd';

const TOKEN = /^(sp|op|nd)_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$/;
const encoder = new TextEncoder();

export interface NewToken {
  readonly token: string;
  readonly prefix: string;
  readonly salt: string;
  readonly hash: string;
}

/** @param prefix of a token that this one takes the place of */
export async function newToken(kind: TokenKind, pepper: string, prefix = randomHex(6)): Promise<NewToken> {
  const token = `${kind}_${prefix}_${randomToken(32)}`;
  const salt = randomHex(16);
  return { token, prefix, salt, hash: await tokenHash(token, salt, pepper) };
}

/** @returns undefined for what cannot be a token of ours, so that it costs no look-up */
export function tokenPrefix(kind: TokenKind, token: string): string | undefined {
  const [, given, prefix] = TOKEN.exec(token) ?? [];
  return given === kind ? prefix : undefined;
}

async function tokenHash(token: string, salt: string, pepper: string): Promise<string> {
  return hex(await hmacSha256(pepper, `${salt}:${token}`));
}

/** What an unknown prefix is held against, so that it takes the time of a known one. */
const NOBODY = { salt: '0'.repeat(32), hash: '' };

/** @param row undefined for a prefix that nobody has: never a match, in the same time */
export async function provesToken(
  token: string,
  row: { readonly salt: string; readonly hash: string } | undefined,
  pepper: string,
): Promise<boolean> {
  const { salt, hash } = row ?? NOBODY;
  const given = await tokenHash(token, salt, pepper);
  return sameDigest(encoder.encode(given), encoder.encode(hash.padEnd(given.length, '!')));
}
