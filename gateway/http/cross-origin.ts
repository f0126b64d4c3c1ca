/** Pages of other origins, where the operator lets them (CORS). Off by default: a browser then keeps answers to itself. */
import type { MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import { headerLengthName } from '../../schema/binary-tensors.ts';
import { headerNames } from '../../schema/headers.ts';

const DAY_S = 86_400;

/** What a page may read of an answer beside its body. */
const exposed = [
  ...Object.values(headerNames),
  headerLengthName,
  'x-policy-warnings',
  'etag',
  'location',
  'ratelimit',
  'ratelimit-policy',
  'retry-after',
  'server-timing',
  'x-request-id',
];

/**
 * Credentials travel in Authorization, which no browser sends by itself, so no answer depends on a page's cookies.
 * @param origins those whose pages may call; `*` for all
 */
export function crossOrigin(origins: readonly string[]): MiddlewareHandler {
  return cors({
    origin: origins.includes('*') ? '*' : [...origins],
    allowMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposeHeaders: exposed,
    maxAge: DAY_S,
  });
}
