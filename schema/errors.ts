/**
 * The one table of everything that can go wrong, and the error class that carries an entry of it.
 * Match on `code`; messages are for people. Over HTTP an error travels as RFC 9457 `application/problem+json`
 * with the Open Inference Protocol's string member `error` beside it.
 */

/** `status` is what HTTP answers; `exit` what a command line ends with (1: the work failed, 2: the input is wrong). */
export const problems = {
  'bad-request': { status: 400, exit: 2, title: 'The request is malformed' },
  'bad-header': { status: 400, exit: 2, title: 'A request header is malformed' },
  'bad-json': { status: 400, exit: 2, title: 'The body is not valid JSON' },
  'bad-shape': { status: 400, exit: 2, title: 'A tensor has the wrong shape' },
  'bad-datatype': { status: 400, exit: 2, title: 'A tensor has the wrong datatype' },
  'bad-policy': { status: 422, exit: 2, title: 'The policy is not valid' },
  unauthorized: { status: 401, exit: 2, title: 'Credentials are missing or wrong' },
  forbidden: { status: 403, exit: 2, title: 'These credentials do not allow this' },
  'not-found': { status: 404, exit: 2, title: 'There is nothing at this address' },
  'unknown-model': { status: 404, exit: 2, title: 'No such model' },
  'unknown-level': { status: 404, exit: 2, title: 'The model has no such level' },
  'unknown-artifact': { status: 404, exit: 2, title: 'No such artifact or artifact file' },
  'method-not-allowed': { status: 405, exit: 2, title: 'This address does not take this method' },
  conflict: { status: 409, exit: 2, title: 'The resource already exists with other content' },
  'in-use': { status: 409, exit: 2, title: 'The resource is in use' },
  'etag-mismatch': { status: 412, exit: 2, title: 'The resource has changed since it was read' },
  'precondition-required': { status: 428, exit: 2, title: 'If-Match is required' },
  'headers-too-large': { status: 431, exit: 2, title: 'The request headers are over the limit' },
  'request-timeout': { status: 408, exit: 1, title: 'The request came too slowly' },
  'body-too-large': { status: 413, exit: 2, title: 'The body is over the limit' },
  'range-not-satisfiable': { status: 416, exit: 2, title: 'The range lies outside of the file' },
  'expectation-failed': { status: 417, exit: 2, title: 'Nobody will say when to send the body' },
  'unsupported-media-type': { status: 415, exit: 2, title: 'This content type is not understood' },
  'unsupported-transfer-coding': { status: 501, exit: 2, title: 'This transfer coding is not understood' },
  'budget-infeasible': { status: 422, exit: 1, title: 'No level fits the latency budget' },
  'cost-infeasible': { status: 422, exit: 1, title: 'No level fits the cost budget' },
  'cost-exhausted': { status: 402, exit: 1, title: 'The cost budget of this key is spent' },
  'rate-limited': { status: 429, exit: 1, title: 'Too many requests with this key' },
  'queue-full': { status: 429, exit: 1, title: 'The queue is full' },
  'deadline-hopeless': {
    status: 503,
    exit: 1,
    title: 'The work that waits leaves no time for this deadline',
  },
  overloaded: { status: 503, exit: 1, title: 'The fleet is busy, and this class gives way' },
  'no-node': { status: 503, exit: 1, title: 'No inference node can take the request' },
  'level-unavailable': { status: 503, exit: 1, title: 'This level cannot be served at the moment' },
  draining: { status: 503, exit: 1, title: 'The node is draining' },
  'not-ready': { status: 503, exit: 1, title: 'Not ready yet' },
  'budget-overrun': { status: 504, exit: 1, title: 'The latency budget ran out' },
  'upstream-failed': { status: 502, exit: 1, title: 'The inference node failed' },
  internal: { status: 500, exit: 1, title: 'Something went wrong here' },
  'bad-artifact': { status: 422, exit: 1, title: 'The artifact is damaged or incomplete' },
  'upload-incomplete': { status: 409, exit: 1, title: 'Files named by the manifest are missing or differ' },
  usage: { status: 400, exit: 2, title: 'The command line is wrong' },
  'bad-model': { status: 400, exit: 2, title: 'The model file cannot be used' },
  'unsupported-op': { status: 400, exit: 2, title: 'The graph has an operator that is not supported' },
  'no-pairs': { status: 400, exit: 2, title: 'The graph has no prunable pair' },
  'bad-data': { status: 400, exit: 2, title: 'The data cannot be used' },
  'bad-checkpoint': { status: 400, exit: 2, title: 'The checkpoint does not fit this run' },
  'not-written': { status: 507, exit: 1, title: 'A file could not be written' },
  'numerical-failure': { status: 500, exit: 1, title: 'The computation left the finite numbers' },
  interrupted: { status: 500, exit: 1, title: 'The run was interrupted' },
  'backend-unavailable': { status: 500, exit: 2, title: 'The compute backend is not available' },
} as const satisfies Record<string, { status: number; exit: 1 | 2; title: string }>;

export type ProblemCode = keyof typeof problems;

/** Members of a problem document beyond the fixed ones: plain JSON, never secrets. */
export type ProblemDetails = Readonly<Record<string, unknown>>;

interface SppErrorOptions {
  /** The way out, as one sentence to the person who reads it. */
  hint?: string;
  /** Seconds after which trying again makes sense; travels as `Retry-After`. */
  retryAfterS?: number;
  /** Of the answer, beside those that every problem has. */
  headers?: Readonly<Record<string, string>>;
  details?: ProblemDetails;
  cause?: unknown;
}

/** Any foreseen failure of this project. The message names the thing and what was wrong with it. */
export class SppError extends Error {
  override readonly name = 'SppError';
  readonly code: ProblemCode;
  readonly hint: string | undefined;
  readonly retryAfterS: number | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly details: ProblemDetails | undefined;

  constructor(code: ProblemCode, message: string, options: SppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.retryAfterS = options.retryAfterS;
    this.headers = options.headers;
    this.details = options.details;
  }

  get status(): number {
    return problems[this.code].status;
  }

  get exitCode(): 1 | 2 {
    return problems[this.code].exit;
  }
}

/** RFC 9457 document with the protocol's `error` member. */
export interface ProblemDocument {
  type: string;
  title: string;
  status: number;
  detail: string;
  error: string;
  code: ProblemCode;
  hint?: string;
  [extension: string]: unknown;
}

/** An error as the document that a client sees. An unforeseen error shows no message, stack or data of its own. */
export function problemDocument(error: unknown): ProblemDocument {
  const known =
    error instanceof SppError
      ? error
      : new SppError('internal', 'An unexpected error occurred; see the server log.');
  return {
    ...known.details,
    type: `/problems/${known.code}`,
    title: problems[known.code].title,
    status: known.status,
    detail: known.message,
    error: known.message,
    code: known.code,
    ...(known.hint === undefined ? {} : { hint: known.hint }),
  };
}

/** The parts of the HTTP answer for an error: problem document, status, and `Retry-After` where one is known. */
export function problemParts(error: unknown): {
  status: number;
  headers: Record<string, string>;
  body: string;
} {
  const document = problemDocument(error);
  const { retryAfterS: retryS, headers } = error instanceof SppError ? error : {};
  return {
    status: document.status,
    headers: {
      ...headers,
      'content-type': 'application/problem+json',
      ...(retryS === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryS))) }),
    },
    body: JSON.stringify(document),
  };
}

/** The HTTP answer for an error, with further headers. */
export function problemResponse(error: unknown, headers: Record<string, string> = {}): Response {
  const { status, headers: own, body } = problemParts(error);
  return new Response(body, { status, headers: { ...headers, ...own } });
}
