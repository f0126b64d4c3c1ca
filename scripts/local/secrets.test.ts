import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { localSecrets } from './secrets.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'spp-'));
});
afterAll(() => rm(directory, { recursive: true }));

test('secrets are made once, and only their owner reads them', async () => {
  const file = join(directory, 'new', 'secrets.json');
  const made = await localSecrets(file);
  expect(new Set(Object.values(made)).size).toBe(3);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await localSecrets(file)).toEqual(made);
});

test('a file that holds something else is left alone', async () => {
  const file = join(directory, 'other.json');
  await writeFile(file, '{"operatorToken":"short"}');
  await expect(localSecrets(file)).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringContaining(file),
  });
  expect(await readFile(file, 'utf8')).toBe('{"operatorToken":"short"}');
});
