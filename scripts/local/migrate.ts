/** Applies the committed migrations to a D1 database, under the names and in the table that `wrangler d1 migrations` uses. */
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

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

const DIRECTORY = fileURLToPath(new URL('../../schema/db/migrations/', import.meta.url));

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
    const text = await readFile(`${directory}/${name}`, 'utf8');
    const statements = text.split('--> statement-breakpoint').map((statement) => statement.trim());
    // One batch: a migration is there with its record, or not at all.
    await db.batch([
      ...statements.filter((statement) => statement !== '').map((statement) => db.prepare(statement)),
      db.prepare('INSERT INTO d1_migrations (name) VALUES (?)').bind(name),
    ]);
  }
  return due;
}
