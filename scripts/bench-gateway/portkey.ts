/** Portkey's gateway, for comparison: installed into a work folder, run by Node, told to hand requests on as they are. */
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const VERSION = '1.15.2';

export interface Portkey {
  readonly port: number;
  close(): void;
}

/** @returns undefined, with the reason on stderr, where it cannot be installed or does not start */
export async function startPortkey(workDir: string, port: number): Promise<Portkey | undefined> {
  const main = join(workDir, 'node_modules/@portkey-ai/gateway/build/start-server.js');
  try {
    if (!existsSync(main)) {
      await mkdir(workDir, { recursive: true });
      await writeFile(join(workDir, 'package.json'), '{ "private": true }');
      const flags = [
        'install',
        '--no-audit',
        '--no-fund',
        '--ignore-scripts',
        `@portkey-ai/gateway@${VERSION}`,
      ];
      await promisify(execFile)('npm', flags, { cwd: workDir });
    }
    const child = spawn(process.execPath, [main, '--headless', `--port=${port}`], {
      stdio: 'ignore',
      env: { ...process.env, NODE_ENV: 'production', TRUSTED_CUSTOM_HOSTS: '127.0.0.1,localhost' },
    });
    for (let i = 0; i < 100 && child.exitCode === null; i++) {
      const up = await fetch(`http://127.0.0.1:${port}/`).then(
        (response) => response.ok,
        () => false,
      );
      if (up) return { port, close: () => void child.kill() };
      await pause(100);
    }
    child.kill();
    throw new Error('it does not listen');
  } catch (error) {
    process.stderr.write(
      `Portkey's gateway is left out: ${error instanceof Error ? error.message : error}\n`,
    );
    return undefined;
  }
}
