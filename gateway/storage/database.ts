/** D1 through drizzle. */
import { type DrizzleD1Database, drizzle } from 'drizzle-orm/d1';
import { ofStore } from './store-failure.ts';

export type Database = DrizzleD1Database;

export function openDatabase(binding: D1Database): Database {
  // drizzle tells failures of single statements by itself, and hands on those of batches as they come.
  const told: Pick<D1Database, 'prepare' | 'batch'> = {
    prepare: (query) => binding.prepare(query),
    batch: (statements) => ofStore('database', binding.batch(statements)),
  };
  return drizzle(told as D1Database, { casing: 'snake_case' });
}

/** Whether a write failed because another one had taken its key first. drizzle wraps what D1 says. */
export function isTaken(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at.message.includes('UNIQUE constraint failed')) return true;
  }
  return false;
}
