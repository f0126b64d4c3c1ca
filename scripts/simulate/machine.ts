/** A node in simulated time: so many workers, and what waits for them is taken by its deadline, as inference nodes do. */

export interface Job {
  readonly executeMs: number;
  /** What has not begun by then never does. */
  readonly endMs: number;
  readonly started: (nowMs: number) => void;
}

export interface SimulatedMachine {
  submit(job: Job): void;
  /** When one more with this deadline would begin, if nothing else came. */
  beginsMs(endMs: number): number;
  readonly running: number;
  readonly waiting: number;
}

export interface Timeline {
  readonly now: () => number;
  readonly later: (atMs: number, act: () => void) => void;
}

export function simulatedMachine(workers: number, { now, later }: Timeline): SimulatedMachine {
  /** When each run ends. */
  const ends: number[] = [];
  const queue: Job[] = [];

  const start = (job: Job) => {
    const endMs = now() + job.executeMs;
    ends.push(endMs);
    later(endMs, () => {
      ends.splice(ends.indexOf(endMs), 1);
      next();
    });
    job.started(now());
  };
  const next = () => {
    while (ends.length < workers) {
      const job = queue.shift();
      if (job === undefined) return;
      if (job.endMs > now()) start(job);
    }
  };

  return {
    submit(job) {
      let place = queue.length;
      while (place > 0 && (queue[place - 1] as Job).endMs > job.endMs) place--;
      queue.splice(place, 0, job);
      next();
    },
    beginsMs(endMs) {
      const free = [...ends, ...new Array<number>(workers - ends.length).fill(now())];
      const soonest = () => free.indexOf(Math.min(...free));
      for (const job of queue) {
        if (job.endMs > endMs) break;
        const worker = soonest();
        if ((free[worker] as number) < job.endMs) (free[worker] as number) += job.executeMs;
      }
      return free[soonest()] as number;
    },
    get running() {
      return ends.length;
    },
    get waiting() {
      return queue.length;
    },
  };
}
