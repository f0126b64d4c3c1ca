/**
 * The requests that this isolate has under way at one node, in the order in which they were sent, and from that how long
 * one more would wait: each counts with the time of its own level, so that ten sparse ones do not look like ten dense ones.
 *
 *   running  [ #### ]  one a worker, since it was free to them       waiting  [ ## ][ ##### ] ...
 *                 └── the first to end lets the next one start ──────────┘
 */
export interface WorkAhead {
  /**
   * @param executeMs how long it usually takes
   * @param endMs its deadline: what has not begun by then never does
   * @returns to be called when it is over
   */
  begin(executeMs: number, endMs: number, nowMs: number): (stopped: boolean, nowMs: number) => void;
  /** Until a worker is free for one more; 0 while one is. */
  waitMs(workers: number, nowMs: number): number;
}

interface Task {
  readonly executeMs: number;
  readonly endMs: number;
  /** When a worker took it; undefined while it waits. */
  startedMs: number | undefined;
  /** Nobody waits for it any more, but a run is not broken off: its worker is busy to the end. */
  abandoned: boolean;
}

/** A run that is later than it usually is has this share of its usual time still to go. */
const OVERDUE_SHARE = 0.1;

export function workAhead(): WorkAhead {
  let tasks: Task[] = [];
  let abandoned = 0;
  let workersKnown = 1;
  let answered: { readonly nowMs: number; readonly workers: number; readonly waitMs: number } | undefined;

  const start = (nowMs: number) => {
    for (let place = 0; place < tasks.length && place < workersKnown; place++) {
      const task = tasks[place] as Task;
      task.startedMs ??= nowMs;
    }
  };
  const forgetEnded = (nowMs: number) => {
    const ended = (task: Task) => task.abandoned && (task.startedMs ?? nowMs) + task.executeMs <= nowMs;
    if (abandoned === 0 || !tasks.some(ended)) return;
    tasks = tasks.filter((task) => !ended(task));
    abandoned = tasks.reduce((sum, task) => sum + Number(task.abandoned), 0);
    start(nowMs);
    answered = undefined;
  };

  return {
    begin(executeMs, endMs, nowMs) {
      const task: Task = {
        executeMs: executeMs > 0 ? executeMs : 0,
        endMs,
        startedMs: undefined,
        abandoned: false,
      };
      forgetEnded(nowMs);
      tasks.push(task);
      start(nowMs);
      answered = undefined;
      return (stopped, atMs) => {
        const place = tasks.indexOf(task);
        if (place < 0) return;
        answered = undefined;
        if (stopped && task.startedMs !== undefined && task.startedMs + task.executeMs > atMs) {
          task.abandoned = true;
          abandoned++;
          return;
        }
        tasks.splice(place, 1);
        start(atMs);
      };
    },
    waitMs(workers, nowMs) {
      forgetEnded(nowMs);
      if (workers !== workersKnown) {
        workersKnown = workers;
        start(nowMs);
      }
      if (tasks.length < workers) return 0;
      if (answered !== undefined && answered.nowMs === nowMs && answered.workers === workers)
        return answered.waitMs;
      const waitMs = untilFree(tasks, workers, nowMs);
      answered = { nowMs, workers, waitMs };
      return waitMs;
    },
  };
}

/** First come, first served: each waiting one goes to the worker that is free soonest. */
function untilFree(tasks: readonly Task[], workers: number, nowMs: number): number {
  const left = new Float64Array(workers);
  for (let place = 0; place < tasks.length; place++) {
    const { executeMs, endMs, startedMs } = tasks[place] as Task;
    if (place < workers)
      left[place] = Math.max((startedMs ?? nowMs) + executeMs - nowMs, OVERDUE_SHARE * executeMs);
    else {
      const soonest = leastOf(left);
      if (nowMs + (left[soonest] as number) < endMs) left[soonest] = (left[soonest] as number) + executeMs;
    }
  }
  return left[leastOf(left)] as number;
}

function leastOf(values: Float64Array): number {
  let least = 0;
  for (let at = 1; at < values.length; at++)
    if ((values[at] as number) < (values[least] as number)) least = at;
  return least;
}
