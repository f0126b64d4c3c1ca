/** For drizzle-kit, which writes a migration for whatever changed in tables.ts. */
import { defineConfig } from 'drizzle-kit';

export default defineConfig({
  dialect: 'sqlite',
  schema: './schema/db/tables.ts',
  out: './schema/db/migrations',
  casing: 'snake_case',
});
