import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{schema,trainer,gateway,infra,scripts,test}/**/*.test.ts'],
    pool: 'forks',
    // Nodes under test keep what they cache away from the user's own.
    env: { XDG_CACHE_HOME: join(tmpdir(), 'spp-test-cache') },
    // Half of the files wait for servers and threads: two at a time keep two cores busy.
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 300_000,
    // What is waited for comes when it comes: a busy machine is no fault of it.
    expect: { poll: { timeout: 30_000 } },
  },
});
