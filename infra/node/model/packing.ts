/**
 * Which level's sessions are worth packing: the one on which the threads spend most of their time. Work fades, so that the
 * choice follows the load; and it has to be clearly more, so that the choice does not swing.
 */

export interface Packing {
  /** @param rows of the run */
  record(level: number, executeMs: number, rows: number): void;
  /** Of a level in an interval, on average over the last few. */
  workMs(level: number): number;
  /** Rows of the runs on which a level's time was spent, on average; 1 where there were none. */
  rows(level: number): number;
  /**
   * To be called at even intervals: work of the interval before counts half.
   * @param leastMs of work in an interval, by `workMs`, that makes another one worth it
   * @returns `current` unless another has clearly more
   */
  choose(current: number | undefined, leastMs?: number): number | undefined;
}

const FADE = 0.5;
const CLEARLY_MORE = 1.5;

export function packing(): Packing {
  const workMs = new Map<number, number>();
  /** Each run's rows count as much as the time that it took. */
  const rowsMs = new Map<number, number>();
  return {
    record(level, executeMs, rows) {
      workMs.set(level, (workMs.get(level) ?? 0) + executeMs);
      rowsMs.set(level, (rowsMs.get(level) ?? 0) + executeMs * rows);
    },
    workMs: (level) => workMs.get(level) ?? 0,
    rows(level) {
      const ms = workMs.get(level) ?? 0;
      return ms > 0 ? Math.max(1, Math.round((rowsMs.get(level) ?? 0) / ms)) : 1;
    },
    choose(current, leastMs = 0) {
      const [top] = [...workMs].sort(([, a], [, b]) => b - a);
      const own = current === undefined ? 0 : (workMs.get(current) ?? 0);
      for (const [level, ms] of workMs) {
        workMs.set(level, ms * FADE);
        rowsMs.set(level, (rowsMs.get(level) ?? 0) * FADE);
        if (ms >= 1) continue;
        workMs.delete(level);
        rowsMs.delete(level);
      }
      return top !== undefined && top[1] * FADE >= leastMs && top[1] > own * CLEARLY_MORE ? top[0] : current;
    },
  };
}
