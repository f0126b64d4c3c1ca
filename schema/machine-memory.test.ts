import { totalmem } from 'node:os';
import { afterEach, expect, test, vi } from 'vitest';
import { machineMemory } from './machine-memory.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

test.each([
  ['no limit is known', 0, totalmem()],
  ['the limit is what 64 bits hold', 2 ** 64, totalmem()],
  ['a container has a limit', 2 ** 20, 2 ** 20],
])('is the least that holds where %s', (_, limit, memory) => {
  vi.spyOn(process, 'constrainedMemory').mockReturnValue(limit);
  expect(machineMemory()).toBe(memory);
});
