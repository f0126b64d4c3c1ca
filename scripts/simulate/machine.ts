/** A node in simulated time: so many workers, and what waits for them is taken by its deadline, as inference nodes do. */

import type { SharedCores } from './cores.ts';

export interface Job {
  /** How long it takes where nothing else runs. */
  readonly executeMs: number;
  /** What has not begun by then never does. */
  readonly endMs: number;
  readonly done: (startedMs: number) => void;
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

/** @param slowness it uses this part of a core */
export function simulatedMachine(
  workers: number,
  slowness: number,
  cores: SharedCores,
  now: () => number,
): SimulatedMachine {
  /** When each run would end if nothing else ran. */
  const ends: number[] = [];
  const queue: Job[] = [];

  const start = (job: Job) => {
    const startedMs = now();
    const endMs = startedMs + job.executeMs;
    ends.push(endMs);
    cores.run(job.executeMs / slowness, 1 / slowness, () => {
      ends.splice(ends.indexOf(endMs), 1);
      next();
      job.done(startedMs);
    });
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
