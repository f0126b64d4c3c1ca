/** The command line as a process: what is wrong with a command is said to people and to programs. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

function trainer(...argv: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...argv], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('a command that is wrong is a problem object, too, where JSON was asked for', () => {
  const { status, stdout, stderr } = trainer('levels', '--json');
  expect(status).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({
    code: 'usage',
    detail: expect.stringContaining("'directory'"),
  });
  expect(stderr).toContain("'directory'");
});

test('a flag that a command does not have is told with where all are', () => {
  const { status, stdout, stderr } = trainer('levels', '--jsn', 'anywhere');
  expect(status).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/--jsn[\s\S]*--json[\s\S]*--help/);
});
