import { expect, test } from 'vitest';
import { keepPausesShort } from './runtime-flags.ts';

test('flags that were set for the runtime stay', () => {
  const environment = { MINIFLARE_WORKERD_V8_FLAGS: '--max-semi-space-size=16' };
  keepPausesShort(environment);
  expect(environment.MINIFLARE_WORKERD_V8_FLAGS).toBe('--max-semi-space-size=16');
});

test('without any, there are those that keep pauses short', () => {
  const environment: NodeJS.ProcessEnv = {};
  keepPausesShort(environment);
  expect(environment.MINIFLARE_WORKERD_V8_FLAGS).toContain('--heap-growing-percent');
});
