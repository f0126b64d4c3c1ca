import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { disposables, temporaryDirectory } from '../../test/support/node-client.ts';
import { ownDirectory } from './own-directory.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const MODULE = fileURLToPath(new URL('own-directory.ts', import.meta.url));
const OWNER = `
const { ownDirectory } = await import(${JSON.stringify(MODULE)});
await ownDirectory(process.argv[1]);
console.log('owned');
setInterval(() => {}, 1000);
`;

test('a directory is one process’s, until that gives it back or is killed', async () => {
  const directory = await temporaryDirectory(scope);
  const owner = spawn(process.execPath, ['--input-type=module', '-e', OWNER, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(createInterface({ input: owner.stdout }), 'line');
  await expect(ownDirectory(directory)).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringContaining(String(owner.pid)),
  });
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  const giveBack = await ownDirectory(directory);
  expect(await readdir(directory)).toEqual(['running']);
  await giveBack();
  expect(await readdir(directory)).toEqual([]);
});

test('one that cannot be made is told, with what to do', async () => {
  const directory = await temporaryDirectory(scope);
  await writeFile(join(directory, 'file'), '');
  await expect(ownDirectory(join(directory, 'file', 'data'))).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringContaining(join(directory, 'file', 'data')),
    hint: expect.stringContaining('--data-dir'),
  });
});
