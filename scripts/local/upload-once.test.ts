import { afterEach, expect, test } from 'vitest';
import { secrets, testGateway } from '../../test/support/gateway.ts';
import { disposables, temporaryDirectory } from '../../test/support/node-client.ts';
import { writeTinyArtifact } from '../../test/support/tiny-model.ts';
import { uploadOnce } from './upload-once.ts';

const scope = disposables();
afterEach(() => scope.dispose());

test('what was made active or deleted since the last start stays so', async () => {
  const gateway = await testGateway(scope);
  const start = async (version: string) => {
    const dir = await temporaryDirectory(scope);
    const manifest = await writeTinyArtifact(dir, { version });
    const lines: string[] = [];
    const { signal } = new AbortController();
    const told = { signal, log: (line: string) => void lines.push(line) };
    await uploadOnce({ url: gateway.url, dir, manifest, token: secrets.operatorToken, ...told });
    return lines;
  };
  expect(await start('v1')).toEqual([expect.stringContaining('uploaded tiny v1')]);
  expect(await start('v1')).toEqual(['tiny v1 is uploaded already']);
  await start('mine');
  expect(await start('v1')).toEqual(['tiny v1 is uploaded already; mine is active']);
  expect((await gateway.operator('DELETE', '/v1/artifacts/tiny/v1')).status).toBe(204);
  expect(await start('v1')).toEqual(['tiny v1 was deleted; mine is active']);
});
