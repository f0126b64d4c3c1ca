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

test.each([
  [{ OPERATOR_TOKEN: undefined }, /OPERATOR_TOKEN is not set/],
  [{ KEY_PEPPER: 'short-secret' }, /KEY_PEPPER is shorter/],
  [{ NODES: 'not json' }, /NODES is not JSON/],
  [{ NODES: '[{"name":"a","url":"ftp://x"}]' }, /NODES/],
  [{ NODES: '[{"name":"a","url":"http://x"},{"name":"a","url":"http://y"}]' }, /names a node twice/],
  [{ MAX_BODY_BYTES: 'much' }, /MAX_BODY_BYTES/],
])('refuses %j', (over, message) => {
  expect(() => readSettings({ ...secrets, ...over })).toThrow(message);
});

test('an error never repeats a secret', () => {
  expect(() => readSettings({ ...secrets, NODE_TOKEN: 'hush-hush' })).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('hush') }),
  );
});
