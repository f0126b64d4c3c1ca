/**
 * What glibc keeps of memory that is free. A run's scratch memory is large tensors that come and go; left to itself, glibc
 * learns from them to keep tens of megabytes in each thread's heap for good, beside what every session holds. It reads its
 * settings when a process starts and at no other time, so the process starts once more, in its own place: same id, same
 * streams, same arguments.
 */

const MB = 2 ** 20;

/** https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html */
export const allocatorSettings = {
  /**
   * From here on memory is mapped for one tensor alone. In a heap, aligned tensors leave holes that none of the same size fits into, so
   * that each thread would keep several runs' worth; but each mapping costs its page faults, which tensors of middle size would feel.
   */
  MALLOC_MMAP_THRESHOLD_: String(8 * MB),
  /** At the end of a heap more than this is given back: room for the scratch memory of small models, which so costs them nothing. */
  MALLOC_TRIM_THRESHOLD_: String(8 * MB),
} as const;

/** Returns where there is nothing to set: on other systems, and where the environment has settings, its own or these. */
export function startAnewWithAllocatorSettings(): void {
  const { platform, execve, execPath, execArgv, argv, env } = process;
  const isSet = Object.keys(env).some((name) => name.startsWith('MALLOC_') || name === 'GLIBC_TUNABLES');
  // A process that was forked with a channel to its parent would lose it.
  if (platform !== 'linux' || execve === undefined || process.send !== undefined || isSet) return;
  execve(execPath, [execPath, ...execArgv, ...argv.slice(1)], { ...env, ...allocatorSettings });
}
