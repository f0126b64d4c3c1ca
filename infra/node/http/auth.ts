/** Bearer tokens of callers. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { SppError } from '../../../schema/errors.ts';

/**
 * A check of the `Authorization` header against one token. Digests are compared, so that neither the time taken nor a
 * difference in length tells anything about the token.
 */
export function bearerCheck(token: string): (header: string | undefined) => void {
  const wanted = digest(token);
  return (header) => {
    const given = /^Bearer +(?<token>[^\s]+)$/i.exec(header ?? '')?.groups?.token;
    if (given === undefined || !timingSafeEqual(digest(given), wanted))
      throw new SppError('unauthorized', 'A valid bearer token is required.', {
        hint: 'Send "Authorization: Bearer" with the token that the node was started with.',
        headers: { 'www-authenticate': 'Bearer' },
      });
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
