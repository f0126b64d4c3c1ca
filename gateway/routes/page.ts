/** Lists that grow are told newest first, a page at a time: `before` is where the page before ended, which its `next` says. */
import { z } from 'zod';
import { queryOf, validated } from '../route.ts';

const most = z.coerce.number().int().min(1).max(500);
const limit = most.default(100);
/** Names of the setting's nodes are the longest. */
const before = z.string().min(1).max(128);

/** Of what is numbered. */
export const numberedPageSchema = z.strictObject({
  limit,
  before: z.coerce.number().int().nonnegative().optional(),
});

/** Of what is read again and again: `after` leaves out what is known. */
export const followedPageSchema = numberedPageSchema.extend({
  after: z.coerce.number().int().nonnegative().optional(),
});

/** Of what has an id. */
export const idPageSchema = z.strictObject({ limit, before: before.optional() });

/** Of what comes by its name, and as a whole to those who name no limit. */
export const namedPageSchema = z.strictObject({ limit: most.optional(), before: before.optional() });

/** @throws `bad-request` naming the parameter */
export function pageOf<T>(request: Request, schema: z.ZodType<T>): T {
  return validated(queryOf(request), schema, 'bad-request', 'The query');
}

/** What the next page begins before; null where this one was not full. */
export function nextOf<T, C>(rows: readonly T[], limit: number, cursor: (row: T) => C): C | null {
  const last = rows.at(-1);
  return last === undefined || rows.length < limit ? null : cursor(last);
}
