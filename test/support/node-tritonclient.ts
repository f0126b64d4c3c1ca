/** `tritonclient[http]` from PyPI in a virtual environment that is made once and kept beside the other caches. */
import { execFile } from 'node:child_process';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SCRIPT = join(ROOT, 'test/support/node-tritonclient.py');
const REQUIREMENT = 'tritonclient[http]==2.73.0';
const INSTALL_LIMIT_MS = 240_000;

/** Runs the client's script; resolves with what it printed. */
export type Tritonclient = (...argv: string[]) => Promise<unknown>;

/** @returns the client, or why this machine does not have it */
export async function tritonclient(): Promise<Tritonclient | { readonly absent: string }> {
  const directory = join(ROOT, 'node_modules/.cache/tritonclient');
  const python = join(directory, 'bin/python');
  const complete = join(directory, REQUIREMENT);
  const made = await access(complete).then(
    () => true,
    () => false,
  );
  try {
    if (!made) {
      await rm(directory, { recursive: true, force: true });
      await mkdir(directory, { recursive: true });
      await run('python3', ['-m', 'venv', directory], { timeout: INSTALL_LIMIT_MS });
      const flags = ['--quiet', '--disable-pip-version-check', '--retries', '1', '--timeout', '15'];
      await run(python, ['-m', 'pip', 'install', ...flags, REQUIREMENT], { timeout: INSTALL_LIMIT_MS });
      await writeFile(complete, '');
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n', 1)[0] : String(error);
    return { absent: `${REQUIREMENT} is not to be had here (it needs python3, pip and PyPI): ${reason}` };
  }
  return async (...argv) => JSON.parse((await run(python, [SCRIPT, ...argv])).stdout) as unknown;
}
