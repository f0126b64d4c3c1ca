/** The part of the gateway's operator interface that an upload needs, with retries where trying again can help. */
import pRetry, { AbortError } from 'p-retry';
import { z } from 'zod';
import { type ProblemCode, problems, SppError } from '../../schema/errors.ts';

export interface GatewayClient {
  /** What the gateway has under a path, undefined when nothing. */
  head(path: string): Promise<{ sha256: string } | undefined>;
  /** @returns the answer's status: 201 for what is new, 200 for what was there already */
  put(path: string, body: Blob, sha256: string, contentType: string): Promise<number>;
}

export interface GatewayClientOptions {
  /** The gateway's origin. */
  readonly url: string;
  readonly token: string;
  readonly signal?: AbortSignal | undefined;
  /** First pause between tries; each next one is twice as long. */
  readonly pauseMs?: number;
  /** How long an answer may take beyond what a slow line takes for the body; 60 s unless told. */
  readonly answerMs?: number;
}

const TRIES = 5;
const FIRST_PAUSE_MS = 250;
const ANSWER_MS = 60_000;
/** The slowest line that a body may come over: what takes longer has stopped. */
const LEAST_BYTES_PER_S = 50_000;

const problemSchema = z.looseObject({ code: z.string(), detail: z.string(), hint: z.string().optional() });

/**
 * Requests to a gateway's artifact routes, with an operator's token; those that do not arrive are tried again.
 * @throws `usage` when the URL is none
 */
export function gatewayClient(options: GatewayClientOptions): GatewayClient {
  const origin = originOf(options.url);
  const send = (method: string, path: string, init: { body?: Blob; headers?: Record<string, string> } = {}) =>
    withRetries(`${method} ${path}`, origin, options, async () => {
      const lineMs = ((init.body?.size ?? 0) / LEAST_BYTES_PER_S) * 1000;
      const timeout = AbortSignal.timeout(Math.ceil((options.answerMs ?? ANSWER_MS) + lineMs));
      return fetch(`${origin}${path}`, {
        method,
        headers: { ...init.headers, authorization: `Bearer ${options.token}` },
        signal: options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]),
        ...(init.body === undefined ? {} : { body: init.body }),
      });
    });
  return {
    async head(path) {
      const response = await send('HEAD', path);
      return response.status === 404 ? undefined : { sha256: response.headers.get('x-content-sha256') ?? '' };
    },
    async put(path, body, sha256, contentType) {
      const headers = { 'x-content-sha256': sha256, 'content-type': contentType };
      const response = await send('PUT', path, { body, headers });
      await response.body?.cancel();
      return response.status;
    },
  };
}

/** @throws `usage` when it is no http(s) URL, or more than an origin: what is behind that would be lost */
function originOf(text: string): string {
  const url = URL.parse(text);
  const isOrigin = url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`;
  if (!isOrigin)
    throw new SppError('usage', `${JSON.stringify(text)} is not the URL of a gateway.`, {
      hint: 'Give its origin, such as http://127.0.0.1:8787.',
    });
  return url.origin;
}

/** Lost connections, overload and faults of the server may pass; refusals will not. */
async function withRetries(
  what: string,
  origin: string,
  { signal, pauseMs = FIRST_PAUSE_MS }: GatewayClientOptions,
  attempt: () => Promise<Response>,
): Promise<Response> {
  try {
    return await pRetry(
      async () => {
        const response = await attempt();
        if (response.ok || (response.status === 404 && what.startsWith('HEAD'))) return response;
        const refusal = await asError(response, what);
        if (response.status >= 500 || response.status === 429) throw refusal;
        throw new AbortError(refusal);
      },
      { retries: TRIES - 1, minTimeout: pauseMs, factor: 2, ...(signal === undefined ? {} : { signal }) },
    );
  } catch (cause) {
    if (cause instanceof SppError) throw cause;
    if (signal?.aborted)
      throw new SppError('interrupted', 'The upload was interrupted.', {
        hint: 'Start it again: it goes on where it stopped.',
        cause,
      });
    const late = cause instanceof DOMException && cause.name === 'TimeoutError';
    throw new SppError(
      'not-ready',
      `${origin} ${late ? 'does not answer' : 'cannot be reached'} (${what}, ${TRIES} tries).`,
      {
        hint: `${late ? 'Look at the log of the gateway' : 'Check the URL and that the gateway runs'}; the upload goes on where it stopped.`,
        cause,
      },
    );
  }
}

async function asError(response: Response, what: string): Promise<SppError> {
  const text = await response.text();
  const parsed = problemSchema.safeParse(safeJson(text));
  const fallback = statusCodes[response.status] ?? 'upstream-failed';
  if (!parsed.success)
    return new SppError(fallback, `${what} was answered with ${response.status}.`, {
      ...(fallback === 'unauthorized' ? { hint: 'Is the operator token right?' } : {}),
    });
  const { code, detail, hint, type: _, title: __, status: ___, error: ____, ...details } = parsed.data;
  return new SppError(Object.hasOwn(problems, code) ? (code as ProblemCode) : fallback, detail, {
    ...(hint === undefined ? {} : { hint }),
    details,
  });
}

/** For answers without a problem document: those to HEAD, and those of something between us and the gateway. */
const statusCodes: Readonly<Record<number, ProblemCode>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  413: 'body-too-large',
};

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
