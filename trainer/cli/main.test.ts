/** The command line as a process: what is wrong with a command is said to people and to programs. */
import { type StdioOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const DIGITS = fileURLToPath(new URL('../../examples/digits/digits.onnx', import.meta.url));

function trainer(...argv: string[]) {
  return ended([MAIN, ...argv]);
}

/** Status null where it had to be killed. */
function ended(args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
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

test('a build that fails under a bar of progress ends', () => {
  const terminal =
    'data:text/javascript,Object.assign(process.stderr,{isTTY:true,cursorTo(){},clearLine(){}})';
  const build = ['build-path', DIGITS, '--data', 'idx:missing', '--out', 'unused'];
  const { status, stderr } = ended(['--import', terminal, MAIN, ...build]);
  expect(stderr).toContain('[bad-data]');
  expect(stderr).toContain('\u001b[?25h');
  expect(status).toBe(2);
});

test('a reader that goes away is no failure', async () => {
  const child = spawn(process.execPath, [MAIN, 'inspect', DIGITS]);
  const said: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  child.stdout.destroy();
  expect(await once(child, 'close')).toEqual([0, null]);
  expect(Buffer.concat(said).toString()).toBe('');
});

const full = existsSync('/dev/full');
test.skipIf(!full)(
  '(needs /dev/full) a disk that is full under the result is a failure, and told in a sentence',
  () => {
    const disk = openSync('/dev/full', 'w');
    const told = (stdio: StdioOptions, ...argv: string[]) => {
      const { status, stderr } = spawnSync(process.execPath, [MAIN, ...argv], { encoding: 'utf8', stdio });
      return { status, stderr };
    };
    try {
      const { status, stderr } = told(['ignore', disk, 'pipe'], 'inspect', '--ops', DIGITS);
      expect(stderr).toMatch(/^error: .*standard output: ENOSPC.* \[not-written\]\n$/);
      expect(status).toBe(1);
      expect(told(['ignore', 'pipe', disk], 'levels', 'missing').status).toBe(2);
    } finally {
      closeSync(disk);
    }
  },
);

test('a build that is told twice to stop ends by the signal, in whatever its threads are', async () => {
  const out = mkdtempSync(join(tmpdir(), 'stopped-build-'));
  try {
    const flags = ['--data', 'mnist', '--out', out, '--calibration', '512'];
    const child = spawn(process.execPath, [MAIN, 'build-path', DIGITS, ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      const before = said;
      said += text;
      for (const mark of ['"calibrate"', 'stopping after this step'])
        if (said.includes(mark) && !before.includes(mark)) child.kill('SIGINT');
    });
    expect(await once(child, 'close')).toEqual([null, 'SIGINT']);
    expect(said).not.toContain('terminate');
  } finally {
    rmSync(out, { recursive: true });
  }
});
