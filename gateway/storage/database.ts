/** D1 through drizzle. */
import { type DrizzleD1Database, drizzle } from 'drizzle-orm/d1';

export type Database = DrizzleD1Database;

export function openDatabase(binding: D1Database): Database {
  return drizzle(binding, { casing: 'snake_case' });
}

/** Whether a write failed because another one had taken its key first. drizzle wraps what D1 says. */
export function isTaken(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at.message.includes('UNIQUE constraint failed')) return true;
  }
  return false;
}
