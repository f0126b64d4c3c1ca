import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { TINY, writeTinyArtifact } from '../../test/support/tiny-model.ts';
import { writeTinySequence } from '../../test/support/tiny-sequence.ts';
import { writeDurably } from './write.ts';

let directory = '';
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('writing durably', () => {
  test('leaves one whole file where several write it at once', async () => {
    directory = await mkdtemp(join(tmpdir(), 'spp-write-'));
    const contents = Array.from({ length: 8 }, (_, i) => new Uint8Array(100_000).fill(i));
    await Promise.all(contents.map((bytes) => writeDurably(directory, 'file', bytes)));
    const written = await readFile(join(directory, 'file'));
    expect(contents.some((bytes) => written.equals(bytes))).toBe(true);
    expect(await readdir(directory)).toEqual(['file']);
  });

  test('leaves nothing where the file cannot be put in its place', async () => {
    directory = await mkdtemp(join(tmpdir(), 'spp-write-'));
    const writing = writeDurably(directory, join('..', 'no', 'such'), new Uint8Array(1));
    await expect(writing).rejects.toMatchObject({
      code: 'not-written',
      message: expect.stringContaining(join(directory, '..', 'no', 'such')),
    });
    expect(await readdir(directory)).toEqual([]);
  });

  test.each(['itself', 'what it links to'])(
    'takes the place of nothing that is no file: %s',
    async (which) => {
      directory = await mkdtemp(join(tmpdir(), 'spp-write-'));
      const listening = createServer().listen(join(directory, 'socket'));
      onTestFinished(() => void listening.close());
      await once(listening, 'listening');
      await symlink('socket', join(directory, 'link'));
      const writing = writeDurably(directory, which === 'itself' ? 'socket' : 'link', new Uint8Array(1));
      await expect(writing).rejects.toMatchObject({
        code: 'not-written',
        message: expect.stringContaining('is no regular file'),
      });
      expect((await stat(join(directory, 'link'))).isSocket()).toBe(true);
      expect((await readdir(directory)).toSorted()).toEqual(['link', 'socket']);
    },
  );
});

test('an artifact with fewer levels leaves nothing of the one before it, nor of one that was killed', async () => {
  directory = await mkdtemp(join(tmpdir(), 'spp-write-'));
  await writeTinyArtifact(directory);
  await writeFile(join(directory, '.own-01.bin.cut-off.partial'), 'half');
  await writeFile(join(directory, 'report.html'), 'of somebody else');
  const { files, levels } = await writeTinySequence(directory, false);
  expect(levels.length).toBeLessThan(TINY.widths.length);
  const left = [...files.map(({ path }) => path), 'manifest.json', 'report.html'];
  expect((await readdir(directory)).toSorted()).toEqual(left.toSorted());
});
