/** What a worker thread answers, whichever engine it runs. */
import { type ProblemCode, SppError } from '../../schema/errors.ts';
import type { ShardSums } from './lane.ts';

/** An error as it crosses threads, where classes are lost. */
export interface ThreadError {
  readonly code: ProblemCode | undefined;
  readonly message: string;
  readonly hint: string | undefined;
}

export type LaneAnswer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'sums'; readonly sums: ShardSums[] }
  | { readonly kind: 'failed'; readonly error: ThreadError };

/** @param error what a thread caught */
export function threadError(error: unknown): ThreadError {
  return error instanceof SppError
    ? { code: error.code, message: error.message, hint: error.hint }
    : { code: undefined, message: String((error as Error)?.stack ?? error), hint: undefined };
}
