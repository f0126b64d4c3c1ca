/** Rows with a secret of ours: a new secret, beside which those before are good for as long as was promised. */
import type { EarlierSecret } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import { newToken, type TokenKind } from '../auth/secret-tokens.ts';

export interface SecretColumns {
  readonly prefix: string;
  readonly salt: string;
  readonly hash: string;
  readonly previousSalt: string | null;
  readonly previousHash: string | null;
  readonly previousUntilMs: number | null;
  readonly earlierSecrets: readonly EarlierSecret[] | null;
}

/** Of a row that was never rotated. */
export const neverRotated = {
  previousSalt: null,
  previousHash: null,
  previousUntilMs: null,
  earlierSecrets: null,
} as const;

/** So many secrets at most are good beside the last one: each costs a hash with every token that is tried. */
export const EARLIER_GOOD = 3;

/** Those that are good still, the newest first. */
export function secretsBefore(row: SecretColumns, nowMs: number): readonly EarlierSecret[] {
  const { previousSalt: salt, previousHash: hash, previousUntilMs: untilMs, earlierSecrets } = row;
  const previous = salt === null || hash === null || untilMs === null ? [] : [{ salt, hash, untilMs }];
  return [...previous, ...(earlierSecrets ?? [])].filter((secret) => nowMs < secret.untilMs);
}

/**
 * @param overlapS for so long the secret in use is good beside the new one, and those before it to the end of their own time; 0 ends all of
 * them at once
 * @returns the new token, which nothing can show again, and what its row is set to
 * @throws `conflict` where too many are good still
 */
export async function rotation(
  kind: TokenKind,
  pepper: string,
  row: SecretColumns,
  { nowMs, overlapS }: { readonly nowMs: number; readonly overlapS: number },
) {
  const before = overlapS === 0 ? [] : secretsBefore(row, nowMs);
  if (before.length >= EARLIER_GOOD) throw tooMany(before);
  const { token, salt, hash } = await newToken(kind, pepper, row.prefix);
  const set = {
    salt,
    hash,
    previousSalt: row.salt,
    previousHash: row.hash,
    previousUntilMs: nowMs + overlapS * 1000,
    earlierSecrets: before.length === 0 ? null : before,
  };
  return { token, set };
}

function tooMany(before: readonly EarlierSecret[]): SppError {
  const untilMs = Math.min(...before.map((secret) => secret.untilMs));
  const until = new Date(untilMs).toISOString();
  return new SppError(
    'conflict',
    `${before.length} secrets before this one are good still, the first of them until ${until}.`,
    {
      hint: 'Rotate again after that, or with "overlapS": 0, which ends all of them at once.',
      details: { untilMs },
    },
  );
}

/** What may be told of a row: until when secrets are good, and nothing of the secrets. */
export function withoutSecrets<T extends SecretColumns>({
  salt,
  hash,
  previousSalt,
  previousHash,
  earlierSecrets,
  ...view
}: T): Omit<T, SecretName> & { readonly earlierUntilMs: readonly number[] } {
  return { ...view, earlierUntilMs: (earlierSecrets ?? []).map(({ untilMs }) => untilMs) };
}

type SecretName = 'salt' | 'hash' | 'previousSalt' | 'previousHash' | 'earlierSecrets';

/** For the trail. */
export function rotationDetail(overlapS: number, set: Awaited<ReturnType<typeof rotation>>['set']) {
  const { previousUntilMs, earlierSecrets } = set;
  return { overlapS, previousUntilMs, earlierUntilMs: (earlierSecrets ?? []).map(({ untilMs }) => untilMs) };
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
