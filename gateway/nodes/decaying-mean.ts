/** A mean in which what came long ago counts less and less: its weight halves with every half-life. */
export interface DecayingMean {
  record(value: number, nowMs: number): void;
  /** NaN while nothing was recorded. */
  mean(): number;
}

export function decayingMean(halfLifeMs: number): DecayingMean {
  let [mean, weight, atMs] = [Number.NaN, 0, 0];
  return {
    record(value, nowMs) {
      weight = weight * 2 ** -(Math.max(0, nowMs - atMs) / halfLifeMs) + 1;
      atMs = Math.max(atMs, nowMs);
      // Moved by what it is off, so that a value that never changes is told to the last bit.
      mean = weight === 1 || Number.isNaN(mean) ? value : mean + (value - mean) / weight;
    },
    mean: () => mean,
  };
}
