/** Keeps a child process running: one that ends by itself is started again, but not for ever. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { endWithParent } from './end-with-parent.ts';

export interface SupervisorOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly log: (line: string) => void;
  /** Called when it is not started again. */
  readonly onGivenUp?: () => void;
  /** Restarts in a row before it is given up; one that has run for a minute begins a new row. */
  readonly restarts?: number;
  /** Before the first restart; each next one waits twice as long. */
  readonly pauseMs?: number;
}

export interface Supervisor {
  /** Of the process that runs now. */
  readonly pid: number | undefined;
  readonly givenUp: boolean;
  /** SIGTERM, and SIGKILL when that is not enough. */
  stop(): Promise<void>;
}

const STEADY_MS = 60_000;
const STOP_MS = 12_000;

export function supervise(options: SupervisorOptions): Supervisor {
  const { command, args, env, log, onGivenUp, restarts = 5, pauseMs = 500 } = options;
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;
  let stopping = false;
  let givenUp = false;

  const start = () => {
    const startedMs = performance.now();
    // In a group of its own, so that a Ctrl-C in the terminal reaches it through `stop` alone.
    const started = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'inherit'], detached: true });
    child = started;
    const letGo = endWithParent(started);
    let over = false;
    const ended = (reason: string) => {
      if (over) return;
      over = true;
      letGo();
      child = undefined;
      if (stopping) return;
      failures = performance.now() - startedMs >= STEADY_MS ? 1 : failures + 1;
      if (failures > restarts) {
        givenUp = true;
        log(`the inference node ${reason}; it is not started again after ${restarts} restarts`);
        onGivenUp?.();
        return;
      }
      const waitMs = pauseMs * 2 ** (failures - 1);
      log(`the inference node ${reason}; it is started again in ${waitMs} ms`);
      timer = setTimeout(start, waitMs);
    };
    started.once('exit', (code, signal) => ended(`ended with ${signal ?? `code ${code}`}`));
    started.once('error', (error) => ended(`did not start: ${error.message}`));
  };
  start();

  return {
    get pid() {
      return child?.pid;
    },
    get givenUp() {
      return givenUp;
    },
    async stop() {
      stopping = true;
      clearTimeout(timer);
      const running = child;
      if (running === undefined || running.exitCode !== null) return;
      const exited = once(running, 'exit');
      running.kill('SIGTERM');
      const killer = setTimeout(() => running.kill('SIGKILL'), STOP_MS);
      await exited;
      clearTimeout(killer);
    },
  };
}
