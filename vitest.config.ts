import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{schema,trainer,gateway,infra,scripts,test}/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 300_000,
  },
});
