import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getTableName, isTable } from 'drizzle-orm';
import { CasingCache } from 'drizzle-orm/casing';
import { getTableConfig } from 'drizzle-orm/sqlite-core';
import { Miniflare } from 'miniflare';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as schema from '../../schema/db/tables.ts';
import { type MigratableDatabase, migrate, rollBack } from './migrate.ts';

let miniflare: Miniflare;
let db: MigratableDatabase;
let directory: string;

beforeAll(async () => {
  miniflare = new Miniflare({
    modules: true,
    script: 'export default { fetch: () => new Response() }',
    cf: false,
    d1Databases: { DB: 'test' },
  });
  db = await miniflare.getD1Database('DB');
  directory = await mkdtemp(join(tmpdir(), 'spp-'));
});
afterAll(async () => {
  await miniflare.dispose();
  await rm(directory, { recursive: true });
});

const tables = async () => {
  const { results } = await db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
  return results.map(({ name }) => name);
};

const committed = async () =>
  (await readdir(new URL('../../schema/db/migrations/', import.meta.url)))
    .filter((name) => name.endsWith('.sql'))
    .sort();

test('the committed migrations make the tables, once', async () => {
  expect(await migrate(db)).toEqual(await committed());
  expect(await tables()).toEqual(
    expect.arrayContaining(['models', 'artifact_versions', 'levels', 'policies', 'api_keys', 'audit']),
  );
  expect(await migrate(db)).toEqual([]);
});

test('the tables have the columns that the code knows', async () => {
  const tables = Object.values(schema).filter(isTable);
  expect(tables.map(getTableName)).toEqual(expect.arrayContaining(['models', 'decisions']));
  const casing = new CasingCache('snake_case');
  for (const table of tables) {
    const { results } = await db.prepare(`PRAGMA table_info(${getTableName(table)})`).all();
    const known = getTableConfig(table).columns.map((column) => casing.getColumnCasing(column));
    expect(results.map(({ name }) => name)).toEqual(known);
  }
});

test('each migration can be taken back, to the schema before it, and made again', async () => {
  const shape = async () =>
    (await db.prepare('SELECT name, sql FROM sqlite_master ORDER BY name').all()).results;
  const whole = await shape();
  const names = await committed();
  for (const name of names.toReversed()) expect(await rollBack(db)).toBe(name);
  expect(await rollBack(db)).toBeUndefined();
  expect(await tables()).not.toEqual(expect.arrayContaining(['models']));
  expect(await migrate(db)).toEqual(names);
  expect(await shape()).toEqual(whole);
});

test('what a migration added is gone once it is taken back, and what was there before is kept', async () => {
  await db
    .prepare(
      "INSERT INTO api_keys (id, name, prefix, salt, hash, created_at_ms) VALUES ('k', 'n', 'p', 's', 'h', 1)",
    )
    .run();
  while ((await rollBack(db)) !== '0001_keys_roles_decisions.sql');
  const { results } = await db.prepare('SELECT * FROM api_keys').all();
  expect(results).toEqual([expect.objectContaining({ id: 'k', hash: 'h' })]);
  expect(results[0]).not.toHaveProperty('budget');
  await migrate(db);
});

test('a migration that fails half way leaves nothing of itself, and is tried again', async () => {
  const file = join(directory, '0001_second.sql');
  await writeFile(
    file,
    'CREATE TABLE half (a integer);\n--> statement-breakpoint\nCREATE TABLE half (b integer);',
  );
  await expect(migrate(db, directory)).rejects.toThrow();
  expect(await tables()).not.toContain('half');
  await writeFile(file, 'CREATE TABLE half (a integer);');
  expect(await migrate(db, directory)).toEqual(['0001_second.sql']);
  expect(await tables()).toContain('half');
});
