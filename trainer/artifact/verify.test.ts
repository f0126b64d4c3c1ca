import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { writeTinyImage } from '../../test/support/tiny-image.ts';
import { silentProgress } from '../build/progress.ts';
import { verifyArtifact } from './verify.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'verify-'));
});
afterEach(() => rm(directory, { recursive: true }));

test('levels are run with images as large as they have to be, where requests choose the size', async () => {
  await writeTinyImage(directory);
  expect(await verifyArtifact(directory, silentProgress)).toMatchObject({ model: 'image', levels: 2 });
});

test('a level that runs on inputs of no size is named, with the reason', async () => {
  await writeTinyImage(directory);
  const file = join(directory, 'manifest.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as { inputs: { shape: number[] }[] };
  manifest.inputs[0]!.shape = [-1, 2, -1, -1];
  await writeFile(file, JSON.stringify(manifest));
  await expect(verifyArtifact(directory, silentProgress)).rejects.toMatchObject({
    code: 'bad-artifact',
    message: expect.stringMatching(/^Level 0 does not run: .*(channel|dimension|shape)/is),
  });
});
