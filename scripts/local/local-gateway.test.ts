import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { disposables, temporaryDirectory } from '../../test/support/node-client.ts';
import { COMPATIBILITY_DATE, nodeNetwork, startLocalGateway } from './local-gateway.ts';

/** Asks the address in a request's body, through the binding in its path. */
const script = `export default {
  async fetch(request, bindings) {
    const network = bindings[new URL(request.url).pathname.slice(1)];
    const signal = AbortSignal.timeout(300);
    const failed = await network.fetch(await request.text(), { signal }).then(() => '', String);
    return new Response(failed);
  }
}`;
let miniflare: Miniflare;

beforeAll(() => {
  miniflare = new Miniflare({
    modules: true,
    script,
    compatibilityDate: COMPATIBILITY_DATE,
    cf: false,
    serviceBindings: { PUBLIC: nodeNetwork(false), PRIVATE: nodeNetwork(true) },
    // What is blocked is told with a stack.
    handleRuntimeStdio: (_: Readable, stderr: Readable) => void stderr.resume(),
  });
});
afterAll(() => miniflare.dispose());

/** @returns whether the runtime refused to connect there, rather than tried */
async function isBlocked(binding: 'PUBLIC' | 'PRIVATE', address: string): Promise<boolean> {
  const answer = await miniflare.dispatchFetch(`http://test/${binding}`, { method: 'POST', body: address });
  return (await answer.text()).includes('internal error');
}

describe('the way to the nodes', () => {
  test.each(['http://169.254.0.1:9', 'http://[fe80::1]:9'])('never leads to %s', async (address) => {
    for (const binding of ['PUBLIC', 'PRIVATE'] as const)
      expect(await isBlocked(binding, address), binding).toBe(true);
  });

  test('leads to this machine, and into its network only where the deployment has nodes there', async () => {
    expect(await isBlocked('PUBLIC', 'http://127.0.0.1:9')).toBe(false);
    expect(await isBlocked('PUBLIC', 'http://10.255.255.1:9')).toBe(true);
  });
});

test('a gateway that cannot start says why', async () => {
  const scope = disposables();
  const dataDir = await temporaryDirectory(scope);
  await writeFile(join(dataDir, 'd1'), 'no directory');
  const secrets = { operatorToken: 'o'.repeat(24), nodeToken: 'n'.repeat(24), keyPepper: 'k'.repeat(24) };
  await expect(startLocalGateway({ port: 0, nodes: [], ...secrets, dataDir })).rejects.toThrow(
    /did not start.*d1/,
  );
  await scope.dispose();
});
