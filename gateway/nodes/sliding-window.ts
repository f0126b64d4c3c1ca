/** The last few measurements of one thing, none older than a bound. */

export interface SlidingWindow {
  record(value: number, nowMs: number): void;
  /** What is young enough, the oldest first. */
  values(nowMs: number): number[];
}

export function slidingWindow(size: number, maxAgeMs: number): SlidingWindow {
  const samples: { value: number; atMs: number }[] = [];
  return {
    record(value, nowMs) {
      samples.push({ value, atMs: nowMs });
      if (samples.length > size) samples.shift();
    },
    values: (nowMs) => samples.filter(({ atMs }) => nowMs - atMs < maxAgeMs).map(({ value }) => value),
  };
}
