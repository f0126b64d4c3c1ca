/** What a route is: its access stands beside its path, so that none can be forgotten. */
import { z } from 'zod';
import { type ProblemCode, SppError } from '../schema/errors.ts';
import type { Access, Identity } from './auth/identity.ts';
import type { Gateway, Known } from './gateway.ts';
import { parseJson, readBody, requireJson } from './http/read-body.ts';
import type { Deadline } from './inference/deadline.ts';
import type { RequestBackground } from './state/background.ts';

export interface Call {
  readonly gateway: Gateway;
  readonly request: Request;
  /** The request's, which the runtime looks up anew whenever it is asked. */
  readonly headers: Headers;
  /** A parameter of the route's path, decoded. */
  readonly param: (name: string) => string;
  /** Who asks, as the route's access demands. */
  readonly identity: Identity;
  /** When the gateway had the request, by `gateway.now`. */
  readonly receivedMs: number;
  /** Of a timed route: runs since the gateway had the request, at first by what the client says alone. */
  readonly clock: Deadline | undefined;
  /** Of a timed route: begun with the request, beside the checks of its access. */
  readonly known: Known | Promise<Known> | undefined;
  readonly requestId: string;
  /** Go with whatever is answered, a refusal too. */
  readonly told: Map<string, string>;
  readonly background: RequestBackground;
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly access: Access;
  /** Has a latency budget, which covers the checks of access and limits, too; its answers come with what is `told`. */
  readonly timed?: true;
  readonly handle: (call: Call) => Response | Promise<Response>;
}

/** Parameters of a request's address; of one that is there more than once, the last. */
export function queryOf({ url }: Request): Record<string, string> {
  return Object.fromEntries(new URL(url).searchParams);
}

/** Bodies of the operator's interface are documents, not tensors. */
const MAX_DOCUMENT_BYTES = 2 ** 20;

/** @throws `unsupported-media-type`, `body-too-large`, `bad-json`, and `code` with the faults by path */
export async function readDocument<T>(
  { request }: Call,
  schema: z.ZodType<T>,
  code: ProblemCode,
  what: string,
): Promise<T> {
  requireJson(request.headers);
  return validated(parseJson(await readBody(request, MAX_DOCUMENT_BYTES)), schema, code, what);
}

/** What is not there is said to be missing, and not to be of another type than it should. */
const missing: z.core.$ZodErrorMap = ({ input }) => (input === undefined ? 'is missing' : undefined);

/** @throws `code`; `errors` in its details has a path and a message for each fault */
export function validated<T>(value: unknown, schema: z.ZodType<T>, code: ProblemCode, what: string): T {
  const parsed = schema.safeParse(value, { error: missing });
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({ path: z.core.toDotPath(path), message }));
  const first = errors
    .slice(0, 3)
    .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
    .join('; ');
  throw new SppError(code, `${what} is not valid. ${first.slice(0, 500)}.`, { details: { errors } });
}
