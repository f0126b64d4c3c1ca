/**
 * Memory for the bodies of all requests without an answer. Each of them has a limit of its own, but many at once, above all such as are sent
 * slowly, would together take all there is.
 */
import { SppError } from '../../../schema/errors.ts';

export interface BodyRoom {
  /**
   * @param bytes that a body takes beyond what it has; negative gives back
   * @param held what it has
   * @throws `queue-full` where bodies together take too much; one that is alone is never too large
   */
  take(bytes: number, held: number): void;
}

export function bodyRoom(limitBytes: number): BodyRoom {
  let used = 0;
  return {
    take(bytes, held) {
      if (bytes > 0 && used + bytes > limitBytes && used > held)
        throw new SppError(
          'queue-full',
          `Bodies of requests without an answer take ${limitBytes} bytes, which is the limit.`,
          { hint: 'Ask another node, or send fewer large requests at a time.', retryAfterS: 1 },
        );
      used += bytes;
    },
  };
}
