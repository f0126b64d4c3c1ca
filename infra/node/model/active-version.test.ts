import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { SppError } from '../../../schema/errors.ts';
import { disposables } from '../../../test/support/node-client.ts';
import { followActiveVersion, isModelIndex } from './active-version.ts';

const scope = disposables();
afterEach(() => scope.dispose());

/** A gateway's index endpoint that gives one answer after the other, the last one for ever. */
async function indexServer(answers: readonly { status?: number; body?: unknown }[]) {
  const seen: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const { status = 200, body } = answers[Math.min(seen.length, answers.length - 1)]!;
    seen.push(request.headers.authorization);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.onDispose(async () => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/artifacts/digits`, seen };
}

const active = (version: string | null) => ({ body: { model: 'digits', active: version, versions: [] } });

function follow(url: string, onVersion: (version: string) => Promise<void>, count: number) {
  const stop = new AbortController();
  const versions: string[] = [];
  const troubles: string[] = [];
  const done = followActiveVersion({
    indexUrl: url,
    token: 'secret',
    signal: stop.signal,
    intervalMs: 1,
    onVersion: async (version, location) => {
      expect(location).toBe(`${url}/${version}`);
      versions.push(version);
      if (versions.length === count) stop.abort();
      await onVersion(version);
    },
    onTrouble: (error) => troubles.push(String(error)),
  });
  return { done, versions, troubles };
}

describe('following the active version', () => {
  test('waits until there is one, then passes each newly active one on, once', async () => {
    const { url, seen } = await indexServer([
      active(null),
      active(null),
      active('v1'),
      active('v1'),
      active('v2'),
    ]);
    const { done, versions, troubles } = follow(url, async () => {}, 2);
    await done;
    expect(versions).toEqual(['v1', 'v2']);
    expect(troubles).toEqual([expect.stringContaining('No version is active')]);
    expect(new Set(seen)).toEqual(new Set(['Bearer secret']));
  });

  test('lives through a gateway that fails, knows no such model, or answers something else', async () => {
    const { url } = await indexServer([{ status: 500 }, { status: 404 }, { body: 'hello' }, active('v1')]);
    const { done, versions, troubles } = follow(url, async () => {}, 1);
    await done;
    expect(versions).toEqual(['v1']);
    expect(troubles.length).toBe(3);
  });

  test('tries a version again that could not be taken into service', async () => {
    const { url } = await indexServer([active('v1')]);
    let calls = 0;
    const { done, versions } = follow(
      url,
      async () => {
        calls++;
        if (calls === 1) throw new Error('damaged');
      },
      2,
    );
    await done;
    expect(versions).toEqual(['v1', 'v1']);
  });

  test('gives up at once where the execution provider is missing', async () => {
    const { url } = await indexServer([active('v1')]);
    const missing = async () => {
      throw new SppError('backend-unavailable', 'no libraries');
    };
    const { done, versions } = follow(url, missing, 2);
    await expect(done).rejects.toMatchObject({ code: 'backend-unavailable' });
    expect(versions).toEqual(['v1']);
  });

  test('gives up at once when the token is refused', async () => {
    const { url } = await indexServer([{ status: 401 }]);
    await expect(follow(url, async () => {}, 1).done).rejects.toMatchObject({ code: 'unauthorized' });
  });

  test.each([
    ['http://127.0.0.1:8787/v1/artifacts/digits', true],
    ['https://gateway.example/v1/artifacts/digits/', true],
    ['http://127.0.0.1:8787/v1/artifacts/digits/v1', false],
    ['artifacts/digits', false],
  ])('%s leaves the version open: %s', (location, wanted) => {
    expect(isModelIndex(location)).toBe(wanted);
  });
});
