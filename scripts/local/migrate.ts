/** Applies the committed migrations to a D1 database, under the names and in the table that `wrangler d1 migrations` uses. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The part of D1's interface that this needs. */
export interface MigratableDatabase {
  prepare(query: string): MigrationStatement;
  batch(statements: MigrationStatement[]): Promise<unknown>;
}

export interface MigrationStatement {
  bind(...values: unknown[]): MigrationStatement;
  all(): Promise<{ results: Record<string, unknown>[] }>;
  run(): Promise<unknown>;
}

const DIRECTORY = join(import.meta.dirname, '../../schema/db/migrations');
const ROLLBACKS = join(import.meta.dirname, '../../schema/db/rollbacks');

/** @returns the names of those that were applied now */
export async function migrate(db: MigratableDatabase, directory: string = DIRECTORY): Promise<string[]> {
  await db
    .prepare(
      'CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)',
    )
    .run();
  const { results } = await db.prepare('SELECT name FROM d1_migrations').all();
  const applied = new Set(results.map(({ name }) => name));
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort();
  const due = names.filter((name) => !applied.has(name));
  for (const name of due) {
    const statements = await statementsOf(`${directory}/${name}`);
    // One batch: a migration is there with its record, or not at all.
    await db.batch([
      ...statements.map((statement) => db.prepare(statement)),
      db.prepare('INSERT INTO d1_migrations (name) VALUES (?)').bind(name),
    ]);
  }
  return due;
}

/**
 * Takes back the migration applied last; its file in the folder of rollbacks has the same name, and forgets its record.
 * @returns its name; undefined when none is applied
 */
export async function rollBack(db: MigratableDatabase): Promise<string | undefined> {
  const { results } = await db.prepare('SELECT name FROM d1_migrations ORDER BY id DESC LIMIT 1').all();
  const [last] = results;
  if (last === undefined) return undefined;
  const name = String(last.name);
  await db.batch((await statementsOf(`${ROLLBACKS}/${name}`)).map((statement) => db.prepare(statement)));
  return name;
}

async function statementsOf(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8');
  const statements = text.split('--> statement-breakpoint').map((statement) => statement.trim());
  return statements.filter((statement) => statement !== '');
}
