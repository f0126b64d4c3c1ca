import { expect, test, vi } from 'vitest';
import { logFailure } from './log.ts';

test('a failure is told without the values that a database statement was bound to', () => {
  const written = vi.spyOn(console, 'error').mockImplementation(() => {});
  const statement = Object.assign(new Error('Failed query: select ... params: sp_secret'), {
    query: 'select ...',
    params: ['sp_secret'],
  });
  logFailure(
    'refresh failed',
    new Error('outer', { cause: Object.assign(statement, { cause: new Error('disk') }) }),
  );
  const [line] = written.mock.calls[0] as [string];
  expect(line).not.toContain('sp_secret');
  expect(JSON.parse(line)).toMatchObject({
    event: 'refresh failed',
    causes: ['Error: outer', 'Error: disk'],
  });
  written.mockRestore();
});
