/** Counts work that has been accepted and not finished, so that stopping can wait for it. */

export interface InFlight {
  readonly count: number;
  /** Counts as much more, or less where it is negative. */
  add(count: number): void;
  /** Counts `work` until it settles. */
  track<T>(work: () => T | Promise<T>): Promise<T>;
  /** Resolves true when nothing is in flight, false when `limitMs` pass before. */
  idle(limitMs: number): Promise<boolean>;
}

export function inFlight(): InFlight {
  const waiting = new Set<() => void>();
  let count = 0;
  const add = (more: number) => {
    count += more;
    if (count === 0) for (const wake of waiting) wake();
  };
  return {
    get count() {
      return count;
    },
    add,
    async track(work) {
      add(1);
      try {
        return await work();
      } finally {
        add(-1);
      }
    },
    idle: (limitMs) =>
      new Promise((resolve) => {
        if (count === 0) return resolve(true);
        const finish = (idle: boolean) => {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve(idle);
        };
        const wake = () => finish(true);
        const timer = setTimeout(() => finish(false), limitMs);
        waiting.add(wake);
      }),
  };
}
