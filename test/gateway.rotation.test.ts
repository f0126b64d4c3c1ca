/** The nodes' secret changes while there are requests: the gateway has the new one first, the nodes one after the other. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ContractFleet, contractFleet } from './support/contract-fleet.ts';
import { secrets } from './support/gateway.ts';
import { disposables } from './support/node-client.ts';

const scope = disposables();
const NEXT = 'node-token-of-the-tests-next';
let fleet: ContractFleet;

beforeAll(async () => {
  fleet = await contractFleet(scope, { NODE_TOKEN_BEFORE: secrets.nodeToken }, { nodeToken: NEXT });
  await fleet.reset();
});
afterAll(() => scope.dispose());

test('no request fails while nodes go from one secret to the next, and each sees the one it knows', async () => {
  const { a, b } = fleet;
  const ask = async () => {
    a.seen.length = 0;
    b.seen.length = 0;
    expect(await fleet.levelOf(fleet.infer('15s'))).toBe(2);
    return [...a.seen, ...b.seen].map(({ headers }) => headers.authorization);
  };
  expect(await ask()).toEqual([`Bearer ${secrets.nodeToken}`]);
  for (const node of [a, b]) {
    node.secret = NEXT;
    await ask();
  }
  expect(await ask()).toEqual([`Bearer ${NEXT}`]);
  for (const node of [a, b]) node.secret = 'another-secret-altogether';
  expect((await fleet.infer('15s')).status).toBe(502);
});
