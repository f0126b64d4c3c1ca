/** Where what is sent and answered decides who may do what. */
import { z } from 'zod';

const THIS_MACHINE: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** Encrypted on the way, or not leaving this machine. */
export const trustedUrl = z
  .url({ protocol: /^https?$/ })
  // By its parts, as it is connected to: a user may stand before the host, and look like one.
  .refine((text) => {
    const url = URL.parse(text);
    return url?.protocol === 'https:' || THIS_MACHINE.has(url?.hostname ?? '');
  }, 'is neither https nor on this machine')
  .refine((text) => URL.parse(text)?.username === '', 'has a user before its host');
