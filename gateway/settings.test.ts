import { expect, test } from 'vitest';
import { readSettings } from './settings.ts';

const secrets = {
  OPERATOR_TOKEN: 'operator-operator-operator',
  NODE_TOKEN: 'node-node-node-node-node',
  KEY_PEPPER: 'pepper-pepper-pepper-pepper',
};

test('reads nodes, limits and secrets', () => {
  const nodes = JSON.stringify([{ name: 'a', url: 'http://127.0.0.1:8788/' }]);
  expect(readSettings({ ...secrets, NODES: nodes, MAX_BODY_BYTES: '1000' })).toMatchObject({
    nodes: [{ name: 'a', url: 'http://127.0.0.1:8788' }],
    maxBodyBytes: 1000,
    maxArtifactFileBytes: 2 ** 31,
  });
});

test('nodes of a network of its own are taken where the deployment says that it has one', () => {
  const NODES = JSON.stringify([{ name: 'a', url: 'http://node.default.svc.cluster.local:8788' }]);
  expect(readSettings({ ...secrets, NODES, PRIVATE_NODES: 'on' }).nodes).toMatchObject([{ name: 'a' }]);
});

test.each([
  [{ OPERATOR_TOKEN: undefined }, /OPERATOR_TOKEN is not set/],
  [{ KEY_PEPPER: 'short-secret' }, /KEY_PEPPER is shorter/],
  [{ OPERATOR_TOKEN: `${secrets.OPERATOR_TOKEN}\n` }, /OPERATOR_TOKEN has characters that no header/],
  [{ SCRAPE_TOKEN: 'scrape scrape scrape scrape' }, /SCRAPE_TOKEN has characters/],
  [{ NODE_TOKEN: secrets.OPERATOR_TOKEN }, /NODE_TOKEN is the same as OPERATOR_TOKEN/],
  [{ SCRAPE_TOKEN: secrets.NODE_TOKEN }, /SCRAPE_TOKEN is the same as NODE_TOKEN/],
  [{ KEY_PEPPER: secrets.NODE_TOKEN }, /KEY_PEPPER is the same as NODE_TOKEN/],
  [{ NODES: 'not json' }, /NODES is not JSON/],
  [{ NODES: '[{"name":"a","url":"ftp://x"}]' }, /NODES/],
  [
    { NODES: '[{"name":"a","url":"https://x.org"},{"name":"a","url":"https://y.org"}]' },
    /names a node twice/,
  ],
  [
    { NODES: '[{"name":"a","url":"https://x.org"},{"name":"b","url":"https://X.org./"}]' },
    /NODES has "b": it is at the address of "a"/,
  ],
  [{ NODES: '[{"name":"a","url":"http://node.example.org"}]' }, /NODES has "a": .*not encrypted on the way/],
  [{ NODES: '[{"name":"a","url":"http://10.0.0.1:8788"}]' }, /some networks only.*PRIVATE_NODES=on/],
  [{ NODES: '[{"name":"a","url":"http://169.254.169.254"}]', PRIVATE_NODES: 'on' }, /no place for a node/],
  [{ MAX_BODY_BYTES: 'much' }, /MAX_BODY_BYTES/],
  [{ OIDC_ISSUER: 'https://id.example.org' }, /OIDC_AUDIENCE is not set, but OIDC_ISSUER is/],
  [{ OIDC_AUDIENCE: 'gateway' }, /OIDC_AUDIENCE is set, but OIDC_ISSUER is not/],
  [{ OIDC_ROLES: '{"admin":"root"}' }, /OIDC_ROLES is set, but OIDC_ISSUER is not/],
])('refuses %j', (over, message) => {
  expect(() => readSettings({ ...secrets, ...over })).toThrow(message);
});

test('an identity provider needs issuer and audience, and gives roles by their names unless told', () => {
  const provider = { OIDC_ISSUER: 'https://id.example.org', OIDC_AUDIENCE: 'gateway' };
  expect(readSettings({ ...secrets, ...provider }).oidc).toMatchObject({
    roleClaim: 'role',
    roles: { viewer: 'viewer', operator: 'operator', admin: 'admin' },
  });
  expect(readSettings({ ...secrets, ...provider, OIDC_ROLES: '{"admin":"root"}' }).oidc).toMatchObject({
    roles: { admin: 'root' },
  });
  expect(readSettings(secrets).oidc).toBeUndefined();
});

test('an error never repeats a secret', () => {
  const shared = 'hush-hush-hush-hush-hush-hush';
  expect(() => readSettings({ ...secrets, NODE_TOKEN: shared, OPERATOR_TOKEN: shared })).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('hush') }),
  );
  expect(() => readSettings({ ...secrets, NODE_TOKEN: 'hush-hush' })).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('hush') }),
  );
});
