/** Where what is sent and answered decides who may do what. */
import { z } from 'zod';

/** Encrypted on the way, or not leaving this machine. */
export const trustedUrl = z
  .url({ protocol: /^https?$/ })
  .refine(
    (text) => /^https:|^http:\/\/(?:127\.0\.0\.1|localhost|\[::1\])(?:[:/]|$)/.test(text),
    'is neither https nor on this machine',
  );
