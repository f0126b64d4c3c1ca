/** READMEs are the maps of these folders: one that lacks a part sends readers the wrong way. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const HERE = import.meta.dirname;

test('names each folder, and no other', () => {
  const table = readFileSync(join(HERE, 'README.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  const named = table.flatMap((line) =>
    [...(line.split('|')[1] ?? '').matchAll(/`([\w-]+)\/`/g)].map(([, name]) => name),
  );
  const folders = readdirSync(HERE, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  expect(named.toSorted()).toEqual(folders.toSorted());
});

test('that of the stages names each file, and no other', () => {
  const folder = join(HERE, 'build');
  const named = [...readFileSync(join(folder, 'README.md'), 'utf8').matchAll(/`([\w-]+\.ts)`/g)];
  const files = readdirSync(folder).filter((name) => /(?<!\.(test|fixture))\.ts$/.test(name));
  expect([...new Set(named.map(([, name]) => name))].toSorted()).toEqual(files.toSorted());
});
