/** Refusals of nodes that know no problem documents, such as other servers of the Open Inference Protocol: told as problems all the same. */
import { type ProblemCode, SppError } from '../../schema/errors.ts';
import type { NodeAnswer } from './forward.ts';

const PROBLEM_TYPE = /^application\/problem\+json\s*(?:;|$)/i;

/** Of what is handed on of a node's refusals. */
const codes: Readonly<Record<number, ProblemCode>> = {
  400: 'bad-request',
  408: 'request-timeout',
  413: 'body-too-large',
  415: 'unsupported-media-type',
  422: 'bad-request',
  429: 'queue-full',
  503: 'no-node',
  504: 'budget-overrun',
};

/** More would be a page, and not a sentence. */
const MESSAGE_CHARACTERS = 500;

/** @returns undefined for an answer that is no refusal, or a problem document already */
export function foreignRefusal({ status, type, body }: NodeAnswer): SppError | undefined {
  const code = codes[status];
  if (code === undefined || (type !== null && PROBLEM_TYPE.test(type))) return undefined;
  if (body.kind === 'stream') body.stop();
  // What is wrong with the request is for its sender to know; what is the matter with the node is not.
  const said = status < 429 && body.kind === 'whole' ? errorIn(body.bytes) : undefined;
  return new SppError(code, said ?? 'The inference node refused the request.', {
    ...(status === 429 || status === 503 ? { hint: 'Try again in a moment.' } : {}),
  });
}

/** The protocol's member for it. */
function errorIn(bytes: ArrayBuffer | Uint8Array): string | undefined {
  try {
    const document: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const { error } = document as { readonly error?: unknown };
    return typeof error === 'string' && error !== '' ? error.slice(0, MESSAGE_CHARACTERS) : undefined;
  } catch {
    return undefined;
  }
}
