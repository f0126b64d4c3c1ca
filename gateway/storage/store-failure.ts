/** A store of the deployment that fails: no fault of whoever asks, and mostly over in a moment. */
import { DrizzleQueryError } from 'drizzle-orm';
import { SppError } from '../../schema/errors.ts';

/** What a store throws, whatever it says. Of the database's single statements drizzle makes its own. */
export class StoreFailure extends Error {
  override readonly name = 'StoreFailure';
}

/** @throws `StoreFailure` for whatever the store throws; a `SppError` stays as it is */
export function ofStore<T>(store: string, work: Promise<T>): Promise<T> {
  return work.catch((cause: unknown) => {
    throw cause instanceof SppError ? cause : new StoreFailure(`the ${store} failed`, { cause });
  });
}

/**
 * The problem that a client is told of a store's failure; every other error stays as it is. What a store says is not shown.
 * @param mayHaveWritten an answer that is lost tells nothing of what was done
 */
export function foreseen(error: unknown, mayHaveWritten: boolean): unknown {
  if (error instanceof SppError || !isFailure(error)) return error;
  return new SppError('not-ready', 'What this needs cannot be read or written at the moment.', {
    hint: mayHaveWritten
      ? 'Try again in a moment; look first whether it was done all the same.'
      : 'Try again in a moment.',
    retryAfterS: 1,
    cause: error,
  });
}

/** A statement that breaks a rule of the tables is a mistake of the gateway's, and stays one however often it is sent. */
function isFailure(error: unknown): boolean {
  let failed = false;
  for (let at = error; at instanceof Error; at = at.cause) {
    failed ||= at instanceof StoreFailure || at instanceof DrizzleQueryError;
    if (at.message.includes('constraint failed')) return false;
  }
  return failed;
}
