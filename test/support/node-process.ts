/** The inference node as a process of its own, so that a test can kill it as an operating system would. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Disposable } from './node-client.ts';

const MAIN = fileURLToPath(new URL('../../infra/node/main.ts', import.meta.url));

export interface NodeProcess {
  /** Its URL, once it has said that it is ready. */
  readonly ready: Promise<string>;
  /** SIGTERM; resolves when it has drained and is gone. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

export function nodeProcess(
  scope: Disposable,
  flags: readonly string[],
  token: string,
  env: NodeJS.ProcessEnv = {},
): NodeProcess {
  const child = spawn(process.execPath, [MAIN, '--log-level', 'error', ...flags], {
    env: { ...process.env, NODE_TOKEN: token, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const end = (signal: NodeJS.Signals) => async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  };
  const kill = end('SIGKILL');
  scope.onDispose(kill);
  return { ready: urlWhenReady(child), stop: end('SIGTERM'), kill };
}

async function urlWhenReady(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('The node has no stdout.');
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /^ready (\S+)/.exec(line)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error(`The node ended before it was ready: ${child.signalCode ?? child.exitCode}.`);
}
