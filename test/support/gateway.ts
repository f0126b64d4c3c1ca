/** The gateway for tests: the bundled Worker in workerd with real migrations, and short ways to talk to it. */
import {
  type LocalGateway,
  type LocalGatewayOptions,
  startLocalGateway,
} from '../../scripts/local/local-gateway.ts';
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

export function send(
  origin: string,
  method: string,
  path: string,
  token: string | undefined,
  { body, headers = {} }: RequestOptions = {},
): Promise<Response> {
  const raw = typeof body === 'string' || body instanceof Uint8Array || body === undefined;
  return fetch(`${origin}${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
  });
}
