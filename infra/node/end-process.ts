/** The end of the program, whatever its threads are at. */
import { sessionThreads } from './execution/asked-thread.ts';

/**
 * Node waits for its threads when it exits, and a run of onnxruntime that ends then takes the process with it (SIGABRT), minutes later where it is a
 * long one. So where a thread is left, a program that ends takes the place of this one: same id, same streams.
 * @param code the exit code
 */
export function endProcess(code: number): never {
  const { platform, execve, execPath, env } = process;
  if (sessionThreads() > 0 && platform !== 'win32' && execve !== undefined) {
    const { NODE_OPTIONS: _, ...others } = env;
    execve(execPath, [execPath, '-e', `process.exit(${code})`], others);
  }
  process.exit(code);
}
