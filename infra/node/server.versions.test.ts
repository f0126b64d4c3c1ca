/** The exchange of versions where the new one does not come as it should. */
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import type { InferResponse } from '../../schema/protocol.ts';
import { artifactServer } from '../../test/support/node-artifact-server.ts';
import {
  disposables,
  inferOk,
  post,
  problemOf,
  readyNode,
  temporaryDirectory,
  tinyRequest,
} from '../../test/support/node-client.ts';
import { tinyReference } from '../../test/support/tiny-model.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const X = [[0.5, -1, 2, 0.25]];

describe('a version that takes the place of another', () => {
  test('does so when all its levels are there: until then the other one answers at every level', async () => {
    const gateway = await artifactServer(scope, 'secret');
    await gateway.publish('v1', 1);
    const cacheDir = await temporaryDirectory(scope);
    const node = await readyNode(scope, { artifact: gateway.url, token: 'secret', pollMs: 20, cacheDir });
    gateway.missing.add('v2/own-01.bin');
    await gateway.publish('v2', -3);
    const tries = () => gateway.asked.filter((file) => file === 'v2/own-01.bin').length;
    await expect.poll(tries, { timeout: 10_000 }).toBeGreaterThan(1);

    const ask = () => inferOk(`${node.url}/v2/models/tiny/versions/1/infer`, tinyRequest(X, [3]));
    expect((await ask()).response.headers.get('x-artifact-version')).toBe('v1');
    gateway.missing.clear();
    await expect
      .poll(async () => (await ask()).response.headers.get('x-artifact-version'), { timeout: 10_000 })
      .toBe('v2');
    const { body } = await ask();
    for (const [i, value] of tinyReference(1, X, [3], -3).logits.flat().entries())
      expect(body.outputs[0]?.data[i]).toBeCloseTo(value, 4);
  });

  test('and is deleted while it is fetched is said to be missing, and the next one taken, with the one before served on', async () => {
    const gateway = await artifactServer(scope, 'secret');
    await gateway.publish('v1', 1);
    const cacheDir = await temporaryDirectory(scope);
    const logged: string[] = [];
    const log = pino({}, { write: (line) => void logged.push(line) });
    const settings = { artifact: gateway.url, token: 'secret', pollMs: 20, cacheDir };
    const node = await readyNode(scope, settings, { log });
    gateway.beforeAnswer = async (file) => {
      if (file !== 'v2/own-01.bin') return;
      await gateway.publish('v3', 2);
      gateway.remove('v2');
    };
    await gateway.publish('v2', -3);
    const served = new Set<string | null>();
    const answering = async () => {
      const { response } = await inferOk(`${node.url}/v2/models/tiny/versions/1/infer`, tinyRequest(X, [3]));
      served.add(response.headers.get('x-artifact-version'));
      return response.headers.get('x-artifact-version');
    };
    await expect.poll(answering, { timeout: 10_000 }).toBe('v3');
    expect(served).toEqual(new Set(['v1', 'v3']));
    const told = logged.filter((line) => line.includes('the active version cannot be served yet'));
    expect(told).toEqual([expect.stringMatching(/own-01\.bin at \S+v2 answered 404/)]);
  });

  test('leaves it to those who name it, for a while: a gateway does not know yet, and levels of two versions are not the same', async () => {
    const gateway = await artifactServer(scope, 'secret');
    await gateway.publish('v1', 1);
    const cacheDir = await temporaryDirectory(scope);
    const node = await readyNode(scope, { artifact: gateway.url, token: 'secret', pollMs: 20, cacheDir });
    await gateway.publish('v2', -3);
    await expect.poll(() => node.report().models[0]?.artifactVersion, { timeout: 10_000 }).toBe('v2');
    // Each for as long, however soon the next one comes.
    await gateway.publish('v3', 2);
    await expect.poll(() => node.report().models[0]?.artifactVersion, { timeout: 10_000 }).toBe('v3');

    for (const [version, scale] of [
      ['v1', 1],
      ['v2', -3],
      ['v3', 2],
    ] as const) {
      const url = `${node.url}/v2/models/tiny/versions/1/infer`;
      const named = await post(url, tinyRequest(X, [3]), { 'x-artifact-version': version });
      expect(named.headers.get('x-artifact-version')).toBe(version);
      const { outputs } = (await named.json()) as InferResponse;
      for (const [i, value] of tinyReference(1, X, [3], scale).logits.flat().entries())
        expect(outputs[0]?.data?.[i]).toBeCloseTo(value, 4);
    }
    const other = await post(`${node.url}/v2/models/tiny/versions/1/infer`, tinyRequest(X, [3]), {
      'x-artifact-version': 'v4',
    });
    expect(other.status).toBe(503);
    expect(await problemOf(other)).toMatchObject({ code: 'not-ready', hint: expect.stringContaining('v3') });
  });
});
