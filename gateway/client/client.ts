/**
 * A small client for browsers and Node: budgets as numbers, answers with their decision, retries where the gateway says
 * when. No dependencies; it imports nothing.
 */

export interface ClientOptions {
  /** The gateway's address, such as `https://gateway.example.org`. */
  readonly url: string;
  /** The API key, `sp_...`. */
  readonly key: string;
  /** Tries beyond the first, for answers that say when to come again; default 2. */
  readonly retries?: number;
  /** Waits longer than this are not waited for; the problem is thrown instead. Default 10 000 ms. */
  readonly maxWaitMs?: number;
  /** In place of the global one, as in tests. */
  readonly fetch?: typeof fetch;
}

export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Of the Open Inference Protocol: `FP32`, `INT64`, ... */
  readonly datatype: string;
  readonly data: readonly unknown[];
}

/** What is sent; a typed array of `data` goes as its numbers. */
export interface InputTensor extends Omit<Tensor, 'data'> {
  readonly data: readonly unknown[] | Iterable<number | bigint>;
}

export interface InferOptions {
  /** Milliseconds from when the gateway has the request, of each try anew; the policy's default without it. */
  readonly latencyBudgetMs?: number;
  readonly costBudgetUsd?: number;
  /** From 0 to 1. */
  readonly minQuality?: number;
  readonly slaClass?: string;
  /** Serves this level, or refuses. */
  readonly level?: number;
  /** Asks for the reasons of the decision, which the key must be allowed to have. */
  readonly explain?: boolean;
  /** The same id gets the same side of a canary; made up without it, and kept over retries. */
  readonly requestId?: string;
  readonly signal?: AbortSignal;
}

/** What the gateway decided and what it took. Undefined where the answer does not say. */
export interface Decision {
  readonly level: number | undefined;
  readonly sparsity: number | undefined;
  readonly quality: number | undefined;
  /** `fits`, or how it was served although it did not. */
  readonly kind: string | undefined;
  readonly costUsd: number | undefined;
  readonly policyVersion: number | undefined;
  readonly artifactVersion: string | undefined;
  readonly budgetRemainingMs: number | undefined;
  /** Milliseconds by name: select, queue, execute, network. */
  readonly timing: Readonly<Record<string, number>>;
  /** As sent for `explain`. */
  readonly explanation: unknown;
  readonly requestId: string | undefined;
}

export interface Inference {
  readonly outputs: readonly Tensor[];
  readonly modelName: string;
  readonly modelVersion: string | undefined;
  readonly decision: Decision;
}

/** A refusal: an RFC 9457 problem document. Match on `code`. */
export class GatewayProblem extends Error {
  override readonly name = 'GatewayProblem';
  readonly code: string;
  readonly status: number;
  readonly hint: string | undefined;
  /** When the gateway says that trying again makes sense. */
  readonly retryAfterMs: number | undefined;
  /** All members of the document. */
  readonly document: Readonly<Record<string, unknown>>;
  readonly decision: Decision;

  constructor(status: number, headers: Headers, document: Readonly<Record<string, unknown>>) {
    super(typeof document.detail === 'string' ? document.detail : `The gateway answered ${status}.`);
    this.status = status;
    this.code = typeof document.code === 'string' ? document.code : 'unknown';
    this.hint = typeof document.hint === 'string' ? document.hint : undefined;
    this.retryAfterMs = retryAfterMs(headers);
    this.document = document;
    this.decision = readDecision(headers);
  }
}

export interface Client {
  /** @throws GatewayProblem for every refusal; what `fetch` throws when the gateway is not reached */
  infer(model: string, inputs: readonly InputTensor[], options?: InferOptions): Promise<Inference>;
  /** The model's metadata and levels, as GET /v2/models/{model} has them. */
  model(model: string, signal?: AbortSignal): Promise<Readonly<Record<string, unknown>>>;
}

/** What waits longer goes off at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export function createClient(options: ClientOptions): Client {
  const { url, key, retries = 2, fetch: send = fetch } = options;
  const maxWaitMs = Math.min(options.maxWaitMs ?? 10_000, LONGEST_TIMER_MS);
  const origin = url.replace(/\/+$/, '');

  const ask = async (path: string, init: RequestInit): Promise<{ body: unknown; headers: Headers }> => {
    for (let attempt = 0; ; attempt++) {
      const response = await send(`${origin}${path}`, init);
      if (response.ok) return { body: parsed(await response.text()), headers: response.headers };
      const body: unknown = await response.json().catch(() => ({}));
      const problem = new GatewayProblem(response.status, response.headers, isRecord(body) ? body : {});
      const waitMs = problem.retryAfterMs;
      if (waitMs === undefined || waitMs > maxWaitMs || attempt >= retries) throw problem;
      await pause(waitMs, init.signal ?? undefined);
    }
  };

  return {
    async infer(model, inputs, asked = {}) {
      const at = asked.level === undefined ? '' : `/versions/${asked.level}`;
      const { body, headers } = await ask(`/v2/models/${encodeURIComponent(model)}${at}/infer`, {
        method: 'POST',
        headers: {
          ...requestHeaders(asked),
          authorization: `Bearer ${key}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({ inputs: inputs.map(plain) }),
        ...(asked.signal === undefined ? {} : { signal: asked.signal }),
      });
      if (!isRecord(body) || !Array.isArray(body.outputs))
        throw new TypeError('The gateway’s answer is not an inference response.');
      return {
        outputs: body.outputs as Tensor[],
        modelName: String(body.model_name),
        modelVersion: typeof body.model_version === 'string' ? body.model_version : undefined,
        decision: readDecision(headers),
      };
    },
    async model(model, signal) {
      const { body } = await ask(`/v2/models/${encodeURIComponent(model)}`, {
        headers: { authorization: `Bearer ${key}` },
        ...(signal === undefined ? {} : { signal }),
      });
      return isRecord(body) ? body : {};
    },
  };
}

/** JSON has no typed arrays, nor integers that a double does not hold. @throws RangeError for these */
function plain({ data, ...tensor }: InputTensor): Tensor {
  if (Array.isArray(data)) return { ...tensor, data };
  return { ...tensor, data: Array.from(data as Iterable<number | bigint>, exactly) };
}

function exactly(value: number | bigint): number {
  const number = Number(value);
  if (typeof value === 'bigint' && !Number.isSafeInteger(number))
    throw new RangeError(`${value} is beyond the integers that JSON carries exactly.`);
  return number;
}

/** Undefined for what is no JSON: a header or page that something on the way has put in. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Of what browsers have on pages without TLS, too, where `randomUUID` is not. */
function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function requestHeaders(asked: InferOptions): Record<string, string> {
  const { latencyBudgetMs, costBudgetUsd, minQuality, slaClass, explain } = asked;
  return {
    'x-request-id': asked.requestId ?? newRequestId(),
    ...(latencyBudgetMs === undefined ? {} : { 'x-latency-budget': decimal(latencyBudgetMs, 6) }),
    ...(costBudgetUsd === undefined ? {} : { 'x-cost-budget': atMost(costBudgetUsd) }),
    ...(minQuality === undefined ? {} : { 'x-min-quality': decimal(minQuality, 9) }),
    ...(slaClass === undefined ? {} : { 'x-sla-class': slaClass }),
    ...(explain === true ? { 'x-explain': '1' } : {}),
  };
}

/** @throws RangeError for what no header can say, so that it is not sent */
function decimal(value: number, digits: number): string {
  if (!Number.isFinite(value) || value < 0) throw new RangeError(`${value} is not a number from 0 on.`);
  return value.toFixed(digits).replace(/\.?0+$/, '');
}

/** In whole nano-dollars, never more than it is: nobody asked to pay what rounding adds. @throws as `decimal` does */
function atMost(usd: number): string {
  const nearest = decimal(usd, 9);
  return Number(nearest) > usd ? decimal(usd - 0.5e-9, 9) : nearest;
}

function readDecision(headers: Headers): Decision {
  const text = (name: string) => headers.get(name) ?? undefined;
  const number = (name: string) => {
    const value = headers.get(name);
    return value === null || Number.isNaN(Number(value)) ? undefined : Number(value);
  };
  const reasons = headers.get('x-path-explanation');
  return {
    level: number('x-path-level'),
    sparsity: number('x-path-sparsity'),
    quality: number('x-path-quality'),
    kind: text('x-path-decision'),
    costUsd: number('x-cost'),
    policyVersion: number('x-policy-version'),
    artifactVersion: text('x-artifact-version'),
    budgetRemainingMs: number('x-latency-budget-remaining'),
    timing: readTiming(headers.get('server-timing') ?? ''),
    explanation: reasons === null ? undefined : parsed(reasons),
    requestId: text('x-request-id'),
  };
}

function readTiming(text: string): Record<string, number> {
  const entries = text.split(',').flatMap((entry) => {
    const found = /^\s*([\w-]+);dur=(\d+(?:\.\d+)?)\s*$/.exec(entry);
    return found === null ? [] : [[String(found[1]), Number(found[2])] as const];
  });
  return Object.fromEntries(entries);
}

/** Seconds, or a date (RFC 9110, 10.2.3). */
function retryAfterMs(headers: Headers): number | undefined {
  const text = headers.get('retry-after');
  if (text === null) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  // Dates begin with their day's name; what else engines take for one, such as 1.5, is long ago.
  const atMs = /^[A-Z][a-z]+,? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - Date.now());
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
