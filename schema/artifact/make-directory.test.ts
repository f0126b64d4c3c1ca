import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { disposables, temporaryDirectory } from '../../test/support/node-client.ts';
import { makeDirectory } from './make-directory.ts';

const scope = disposables();
afterEach(() => scope.dispose());

test('makes what is missing above a directory, once, however many ask', async () => {
  const path = join(await temporaryDirectory(scope), 'a', 'b', 'c');
  await Promise.all(Array.from({ length: 8 }, () => makeDirectory(path, 0o700)));
  await makeDirectory(path);
  const { mode } = await stat(join(path, '..'));
  expect(mode & 0o777).toBe(0o700);
});

test('says what is in the way', async () => {
  const directory = await temporaryDirectory(scope);
  await writeFile(join(directory, 'file'), '');
  await expect(makeDirectory(join(directory, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(makeDirectory(join(directory, 'file', 'below'))).rejects.toMatchObject({ code: 'ENOTDIR' });
});

test.runIf(process.platform === 'linux')(
  'ends where nothing can be made',
  async () => {
    const module = fileURLToPath(new URL('make-directory.ts', import.meta.url));
    const code = `const { makeDirectory } = await import(${JSON.stringify(module)});
    await makeDirectory('/proc/nothing/here').catch(({ code }) => console.log(code));`;
    // In a process that can be ended: what tries for ever does so in a thread that no test can stop.
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: 20_000,
      killSignal: 'SIGKILL',
    });
    const said: string[] = [];
    child.stdout.on('data', (text: Buffer) => said.push(String(text)));
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(said.join('')).toBe('ENOENT\n');
  },
  30_000,
);
