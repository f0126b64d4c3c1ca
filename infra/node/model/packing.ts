/**
 * Which level's sessions are worth packing: the one on which the threads spend most of their time. Work fades, so that the
 * choice follows the load; and it has to be clearly more, so that the choice does not swing.
 */

export interface Packing {
  record(level: number, executeMs: number): void;
  /** To be called at even intervals: work of the interval before counts half. @returns `current` unless another has clearly more */
  choose(current: number | undefined): number | undefined;
}

const FADE = 0.5;
const CLEARLY_MORE = 1.5;

export function packing(): Packing {
  const workMs = new Map<number, number>();
  return {
    record(level, executeMs) {
      workMs.set(level, (workMs.get(level) ?? 0) + executeMs);
    },
    choose(current) {
      const [top] = [...workMs].sort(([, a], [, b]) => b - a);
      const own = current === undefined ? 0 : (workMs.get(current) ?? 0);
      for (const [level, ms] of workMs) {
        if (ms < 1) workMs.delete(level);
        else workMs.set(level, ms * FADE);
      }
      return top !== undefined && top[1] > own * CLEARLY_MORE ? top[0] : current;
    },
  };
}
