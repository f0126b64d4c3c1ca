/** `Expect: 100-continue`: a client holds its body back until it is told to go on (RFC 9110, 10.1.1). */
import { SppError } from '../../schema/errors.ts';

/** Clients that are not told wait for so long and then send it all the same, as a rule. */
const HELD_BACK_MS = 1000;

export function holdsBody(headers: Headers): boolean {
  return headers.get('expect')?.trim().toLowerCase() === '100-continue';
}

/**
 * Where nobody tells clients to go on: who would wait for longer than is left of the budget is told to send at once instead.
 * @throws `expectation-failed`
 */
export function requireSending(headers: Headers, leftMs: number): void {
  if (leftMs <= HELD_BACK_MS && holdsBody(headers)) throw unanswered('the budget is too small to wait');
}

/**
 * What is told of a body that was not had. Some clients wait to be told for ever: a larger budget would not help them, as they would be
 * told without this.
 * @returns `expectation-failed` for them in the place of `budget-overrun`; other errors as they are
 */
export function bodyFailure(error: unknown, headers: Headers): unknown {
  if (!(error instanceof SppError) || error.code !== 'budget-overrun' || !holdsBody(headers)) return error;
  return unanswered('the body did not come within the budget');
}

function unanswered(consequence: string): SppError {
  return new SppError(
    'expectation-failed',
    `Expect: 100-continue is not answered here, and ${consequence}.`,
    {
      hint: 'Send the request without the header Expect.',
      details: { header: 'Expect' },
    },
  );
}
