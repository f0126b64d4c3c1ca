/** Rows with a secret of ours: a new secret, beside which the one before is good for a while. */
import { SppError } from '../../schema/errors.ts';
import { newToken, type TokenKind } from '../auth/secret-tokens.ts';

export interface SecretColumns {
  readonly prefix: string;
  readonly salt: string;
  readonly hash: string;
  readonly previousSalt: string | null;
  readonly previousHash: string | null;
  readonly previousUntilMs: number | null;
}

/** Of a row that was never rotated. */
export const neverRotated = { previousSalt: null, previousHash: null, previousUntilMs: null } as const;

/** @returns the new token, which nothing can show again, and what its row is set to; the secret before the last is good no more */
export async function rotation(
  kind: TokenKind,
  pepper: string,
  row: SecretColumns,
  { nowMs, overlapS }: { readonly nowMs: number; readonly overlapS: number },
) {
  const { token, salt, hash } = await newToken(kind, pepper, row.prefix);
  const previousUntilMs = nowMs + overlapS * 1000;
  return { token, set: { salt, hash, previousSalt: row.salt, previousHash: row.hash, previousUntilMs } };
}

/**
 * Of two rotations at once the later one must not keep a secret that the earlier one has just made and shown: rows are set
 * only where they still have the hash that was read, and this looks whether it came to that.
 * @throws `conflict`
 */
export function requireRotated<T extends SecretColumns>(after: T, hash: string): T {
  if (after.hash === hash) return after;
  throw new SppError('conflict', 'It was rotated by someone else at this moment.', {
    hint: 'Use the secret that they were shown, or rotate again.',
  });
}
