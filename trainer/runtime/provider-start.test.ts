import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { assertStarts } from './provider-start.ts';

test('the cpu starts', async () => {
  await expect(assertStarts('cpu')).resolves.toBeUndefined();
});

test.skipIf(existsSync('/dev/nvidiactl'))(
  'CUDA without a device says so before anything is computed (skipped where there is one)',
  async () => {
    await expect(assertStarts('cuda')).rejects.toMatchObject({
      code: 'backend-unavailable',
      message: expect.stringContaining('does not start on cuda'),
    });
  },
);
