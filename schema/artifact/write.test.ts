import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
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
    await expect(writeDurably(directory, join('..', 'no', 'such'), new Uint8Array(1))).rejects.toThrow();
    expect(await readdir(directory)).toEqual([]);
  });
});
