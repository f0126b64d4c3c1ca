/** Operators by an identity provider, in the runtime that the gateway is deployed to. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { send, type TestGateway, testGateway } from './support/gateway.ts';
import { disposables, problemOf } from './support/node-client.ts';

const scope = disposables();
const own = await generateKeyPair('ES256');
let gateway: TestGateway;
let issuer: string;
/** What the provider answers instead, by path. */
const instead = new Map<string, { status: number; headers?: Record<string, string> }>();
const DISCOVERY = '/.well-known/openid-configuration';

beforeAll(async () => {
  const jwk = { ...(await exportJWK(own.publicKey)), kid: 'k1', alg: 'ES256' };
  const server = createServer(({ url = '' }, response) => {
    const { status, headers = {} } = instead.get(url) ?? { status: 200 };
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(
      JSON.stringify(url === DISCOVERY ? { issuer, jwks_uri: `${issuer}/keys` } : { keys: [jwk] }),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.onDispose(async () => void server.close());
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  gateway = await testGateway(scope, { vars: { OIDC_ISSUER: issuer, OIDC_AUDIENCE: 'gateway' } });
});
afterAll(() => scope.dispose());

async function token(over: JWTPayload = {}): Promise<string> {
  const claims = { iss: issuer, aud: 'gateway', sub: 'ada', role: 'viewer', ...over };
  const jwt = new SignJWT(claims).setExpirationTime('5m').setProtectedHeader({ alg: 'ES256', kid: 'k1' });
  return jwt.sign(own.privateKey);
}
const ask = async (method: string, path: string, over?: JWTPayload, body?: object) =>
  send(gateway.url, method, path, await token(over), body === undefined ? {} : { body });

test('while the provider sends elsewhere, or is away, nobody is let in', async () => {
  for (const path of [DISCOVERY, '/keys'])
    for (const status of [302, 500]) {
      instead.set(path, { status, headers: { location: `${issuer}${path}?elsewhere` } });
      const response = await ask('GET', '/v1/policy');
      expect([response.status, (await problemOf(response)).code]).toEqual([503, 'not-ready']);
      instead.clear();
    }
});

test('an operator does what the role of the token allows, under its subject', async () => {
  const looks = await Promise.all(Array.from({ length: 8 }, () => ask('GET', '/v1/policy')));
  expect(looks.map(({ status }) => status)).toEqual(Array(8).fill(200));
  expect((await ask('POST', '/v1/keys', {}, { name: 'shop' })).status).toBe(403);
  expect((await ask('POST', '/v1/keys', { role: 'operator' }, { name: 'shop' })).status).toBe(201);
  const { entries } = (await (await ask('GET', '/v1/audit?limit=1')).json()) as { entries: object[] };
  expect(entries).toMatchObject([{ action: 'key.create', actor: 'oidc:ada' }]);
});

test.each<[string, JWTPayload]>([
  ['another audience', { aud: 'another' }],
  ['another issuer', { iss: 'https://evil.example' }],
  ['no role', { role: 'guest' }],
])('a token of %s opens nothing', async (_, over) => {
  expect((await ask('GET', '/v1/policy', over)).status).toBe(401);
});
