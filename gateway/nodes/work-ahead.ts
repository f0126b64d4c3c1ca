/**
 * The requests that this isolate has under way at one node, and from that how long one more would wait: each counts with
 * the time of its own level, so that ten sparse ones do not look like ten dense ones. Nodes take what waits by its deadline,
 * the earliest first, so only what is due before the new one is ahead of it.
 *
 *   running  [ #### ]  one a worker        waiting  [ ## ][ ##### ] ... by deadline
 *                 └── the first to end lets the next one start ──┘
 */
export interface WorkAhead {
  /**
   * @param executeMs how long it usually takes
   * @param endMs its deadline: what has not begun by then never does
   * @returns to be called when it is over
   */
  begin(executeMs: number, endMs: number, nowMs: number): (stopped: boolean, nowMs: number) => void;
  /**
   * Until a worker is free for one more; 0 while one is.
   * @param endMs its deadline; without one it comes after all that wait
   */
  waitMs(workers: number, nowMs: number, endMs?: number): number;
}

interface Task {
  readonly executeMs: number;
  readonly endMs: number;
  /** When a worker took it; of one that waits, nothing. */
  startedMs: number;
  /** Nobody waits for it any more, but a run is not broken off: its worker is busy to the end. */
  abandoned: boolean;
}

/** A run that is later than it usually is has this share of its usual time still to go. */
const OVERDUE_SHARE = 0.1;

export function workAhead(): WorkAhead {
  const running: Task[] = [];
  /** The earliest deadline first; of equal ones the one that came first. */
  const waiting: Task[] = [];
  let workersKnown = 1;
  /** Of those that run, the abandoned ones. */
  let abandonedRuns = 0;
  /** Of each worker, until it is free: filled anew for each question. */
  let left = new Float64Array(0);

  const start = (nowMs: number) => {
    while (waiting.length > 0 && running.length < workersKnown) {
      const next = waiting.shift() as Task;
      next.startedMs = nowMs;
      if (next.abandoned) abandonedRuns++;
      running.push(next);
    }
  };
  const wait = (task: Task) => {
    let place = waiting.length;
    while (place > 0 && (waiting[place - 1] as Task).endMs > task.endMs) place--;
    waiting.splice(place, 0, task);
  };
  const forgetEnded = (nowMs: number) => {
    if (abandonedRuns === 0) return;
    for (let place = running.length - 1; place >= 0; place--) {
      const { abandoned, startedMs, executeMs } = running[place] as Task;
      if (!abandoned || startedMs + executeMs > nowMs) continue;
      running.splice(place, 1);
      abandonedRuns--;
    }
    start(nowMs);
  };
  const setWorkers = (workers: number, nowMs: number) => {
    workersKnown = workers;
    for (const task of running.splice(workers)) {
      if (task.abandoned) abandonedRuns--;
      wait(task);
    }
    start(nowMs);
  };

  return {
    begin(executeMs, endMs, nowMs) {
      const task: Task = {
        executeMs: executeMs > 0 ? executeMs : 0,
        endMs,
        startedMs: Number.NaN,
        abandoned: false,
      };
      forgetEnded(nowMs);
      if (running.length < workersKnown) {
        task.startedMs = nowMs;
        running.push(task);
      } else wait(task);
      return (stopped, atMs) => {
        const place = running.indexOf(task);
        if (place < 0) {
          const waits = waiting.indexOf(task);
          if (waits >= 0) waiting.splice(waits, 1);
          return;
        }
        if (stopped && task.startedMs + task.executeMs > atMs) {
          task.abandoned = true;
          abandonedRuns++;
          return;
        }
        running.splice(place, 1);
        start(atMs);
      };
    },
    waitMs(workers, nowMs, endMs = Number.POSITIVE_INFINITY) {
      forgetEnded(nowMs);
      if (workers !== workersKnown) setWorkers(workers, nowMs);
      if (running.length < workers) return 0;
      if (left.length !== workers) left = new Float64Array(workers);
      for (let place = 0; place < workers; place++) {
        const { executeMs, startedMs } = running[place] as Task;
        left[place] = Math.max(startedMs + executeMs - nowMs, OVERDUE_SHARE * executeMs);
      }
      for (const task of waiting) {
        if (task.endMs > endMs) break;
        const soonest = leastOf(left);
        const beginsMs = left[soonest] as number;
        if (nowMs + beginsMs < task.endMs) left[soonest] = beginsMs + task.executeMs;
      }
      return left[leastOf(left)] as number;
    },
  };
}

function leastOf(values: Float64Array): number {
  let least = 0;
  for (let at = 1; at < values.length; at++)
    if ((values[at] as number) < (values[least] as number)) least = at;
  return least;
}
