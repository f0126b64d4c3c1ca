import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type OidcVerifier, oidcVerifier } from './oidc.ts';

const NOW_S = 1_800_000_000;
const audience = 'gateway';
const [own, foreign] = [await generateKeyPair('RS256'), await generateKeyPair('RS256')];
let server: Server;
let issuer: string;
let keysStatus = 200;
let verify: OidcVerifier;

/** An identity provider on this machine: its discovery document and its keys. */
beforeAll(async () => {
  const jwk = { ...(await exportJWK(own.publicKey)), kid: 'k1', alg: 'RS256' };
  server = createServer((request, response) => {
    const [tenant = '', rest] = (request.url ?? '').split('/.well-known/');
    const origin = tenant === '/clear' ? issuer.replace('127.0.0.1', '[::ffff:127.0.0.1]') : issuer;
    const document = { issuer: `${issuer}${tenant}`, jwks_uri: `${origin}/keys` };
    response.setHeader('content-type', 'application/json');
    if (request.url === '/keys') {
      response.statusCode = keysStatus;
      return response.end(JSON.stringify(keysStatus === 200 ? { keys: [jwk] } : { keys: 'later' }));
    }
    response.end(JSON.stringify(rest === 'openid-configuration' ? document : {}));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  verify = oidcVerifier({
    issuer,
    audience,
    roleClaim: 'access.roles',
    roles: { viewer: 'look', admin: 'boss' },
  });
});
afterAll(() => void server.close());

function token(over: JWTPayload = {}, key = own.privateKey, header: object = {}): Promise<string> {
  const claims = {
    iss: issuer,
    aud: audience,
    sub: 'ada',
    exp: NOW_S + 60,
    access: { roles: ['look'] },
    ...over,
  };
  return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'k1', ...header }).sign(key);
}
const identity = async (text: string) => verify(text, NOW_S * 1000);

test('a token of the provider gives the strongest role of its claim, under its subject', async () => {
  expect(await identity(await token())).toEqual({ kind: 'operator', name: 'oidc:ada', role: 'viewer' });
  const both = { access: { roles: ['look', 'boss', 'other'] } };
  expect(await identity(await token(both))).toMatchObject({ role: 'admin' });
});

test('whoever has another subject has another name, however late the two differ', async () => {
  const names = ['a', 'b'].map(async (last) => {
    const found = await identity(await token({ sub: `${'x'.repeat(254)}${last}` }));
    return found?.kind === 'operator' ? found.name : undefined;
  });
  expect(new Set(await Promise.all(names)).size).toBe(2);
});

test.each<[string, () => Promise<string>]>([
  ['without a role here', () => token({ access: { roles: ['nothing'] } })],
  ['without the claim', () => token({ access: 'boss' })],
  ['of another issuer', () => token({ iss: 'https://evil.example' })],
  ['for another audience', () => token({ aud: 'another' })],
  ['that has expired', () => token({ exp: NOW_S - 120 })],
  ['that never expires', () => token({ exp: undefined as unknown as number })],
  ['without a subject', () => token({ sub: undefined as unknown as string })],
  ['signed by another key', () => token({}, foreign.privateKey)],
  ['by a key that the provider does not have', () => token({}, foreign.privateKey, { kid: 'k2' })],
  [
    'that is not signed',
    async () => new UnsecuredJWT({ iss: issuer, aud: audience, sub: 'ada', exp: NOW_S + 60 }).encode(),
  ],
  [
    'signed with the public key as a shared secret',
    async () =>
      new SignJWT({ iss: issuer, aud: audience, sub: 'ada', exp: NOW_S + 60, access: { roles: ['boss'] } })
        .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
        .sign(new TextEncoder().encode(JSON.stringify(await exportJWK(own.publicKey)))),
  ],
  ['that is none', async () => 'a.b.c'],
])('a token %s proves nothing', async (_, make) => {
  expect(await identity(await make())).toBeUndefined();
});

test('a provider whose keys would come over an address that is not trusted lets nobody in', async () => {
  const roles = { viewer: 'look' } as const;
  const clear = oidcVerifier({ issuer: `${issuer}/clear`, audience, roleClaim: 'access.roles', roles });
  const trusted = oidcVerifier({ issuer: `${issuer}/tenant`, audience, roleClaim: 'access.roles', roles });
  const of = async (tenant: string) => token({ iss: `${issuer}/${tenant}` });
  expect(await trusted(await of('tenant'), NOW_S * 1000)).toMatchObject({ role: 'viewer' });
  await expect(clear(await of('clear'), NOW_S * 1000)).rejects.toMatchObject({ code: 'not-ready' });
});

test('a provider that cannot be asked lets nobody in', async () => {
  const away = oidcVerifier({
    issuer: 'http://127.0.0.1:9',
    audience,
    roleClaim: 'role',
    roles: { admin: 'admin' },
  });
  await expect(away(await token(), NOW_S * 1000)).rejects.toMatchObject({ code: 'not-ready' });
});

test.each([500, 302, 201])(
  'keys that come with %d are the provider’s fault, and not the token’s',
  async (status) => {
    const untried = oidcVerifier({ issuer, audience, roleClaim: 'access.roles', roles: { viewer: 'look' } });
    keysStatus = status;
    await expect(untried(await token(), NOW_S * 1000)).rejects.toMatchObject({ code: 'not-ready' });
    keysStatus = 200;
    expect(await untried(await token(), NOW_S * 1000)).toMatchObject({ role: 'viewer' });
  },
);
