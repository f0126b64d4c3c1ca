/** The gateway for tests: the bundled Worker in workerd with real migrations, and short ways to talk to it. */
import {
  type LocalGateway,
  type LocalGatewayOptions,
  startLocalGateway,
} from '../../scripts/local/local-gateway.ts';
import { declaredIn, type RequireDeclared } from './declared.ts';
import type { Disposable } from './node-client.ts';

export const secrets = {
  operatorToken: 'operator-token-of-the-tests',
  nodeToken: 'node-token-of-the-tests-0123',
  keyPepper: 'pepper-of-the-tests-01234567',
} as const;

export interface TestGateway extends LocalGateway {
  /** A request with the operator's token. */
  operator(method: string, path: string, init?: RequestOptions): Promise<Response>;
  /** A request with a client's key. */
  client(method: string, path: string, init?: RequestOptions): Promise<Response>;
  readonly clientKey: string;
}

export interface RequestOptions {
  /** Objects become JSON. */
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export async function testGateway(
  scope: Disposable,
  options: Partial<LocalGatewayOptions> = {},
): Promise<TestGateway> {
  const gateway = await startLocalGateway({ port: 0, nodes: [], ...secrets, ...options });
  scope.onDispose(() => gateway.close());
  const as =
    (token: () => string) =>
    (method: string, path: string, init: RequestOptions = {}) =>
      send(gateway.url, method, path, token(), init);
  const operator = as(() => secrets.operatorToken);
  const created = await operator('POST', '/v1/keys', { body: { name: 'test' } });
  const { key } = (await created.json()) as { key: string };
  return { ...gateway, operator, client: as(() => key), clientKey: key };
}

export async function send(
  origin: string,
  method: string,
  path: string,
  token: string | undefined,
  { body, headers = {} }: RequestOptions = {},
): Promise<Response> {
  const raw = typeof body === 'string' || body instanceof Uint8Array || body === undefined;
  const response = await fetch(`${origin}${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
  });
  (await documentOf(origin))(method, path, response);
  return response;
}

const documents = new Map<string, Promise<RequireDeclared>>();

/** By its own document; of one that has none, because it serves nobody, nothing is asked. */
function documentOf(origin: string): Promise<RequireDeclared> {
  const read = async () => {
    const response = await fetch(`${origin}/openapi.json`);
    const document: unknown = await response.json();
    return response.ok ? declaredIn(document as object) : () => {};
  };
  const known = documents.get(origin) ?? read();
  documents.set(origin, known);
  return known;
}
