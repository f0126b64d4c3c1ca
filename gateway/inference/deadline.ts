/** One clock for a request, from receipt to answer. When it runs out, all work stops, and the answer is that it ran out. */
import { SppError } from '../../schema/errors.ts';

export interface Deadline {
  readonly receivedMs: number;
  /** Milliseconds until it passes. */
  leftMs(): number;
  /** Moves it to this long after receipt. */
  grant(ms: number): void;
  /** Told when it passes; what it returns takes that back. */
  onPassed(stop: () => void): () => void;
  /** What `work` comes to, unless the deadline passes first. @throws `budget-overrun` then, whatever the work does */
  bound<T>(work: T | Promise<T>): T | Promise<T>;
  /** For an answer that is complete: nothing is stopped any more. */
  release(): void;
}

export function deadline(receivedMs: number, budgetMs: number, now: () => number): Deadline {
  const stops = new Set<() => void>();
  let endMs = receivedMs + budgetMs;
  let reject: (error: SppError) => void = () => {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer goes off: at the end, or before an end that was moved away, and then it is set anew. */
  let wakesMs = Number.POSITIVE_INFINITY;
  let passed = false;

  const pass = () => {
    // Timers keep their own time, and may come a little early by ours.
    if (now() < endMs - 1) return arm();
    passed = true;
    reject(overrun());
    for (const stop of stops) stop();
    stops.clear();
  };
  const arm = () => {
    wakesMs = endMs;
    timer = setTimeout(pass, Math.max(0, endMs - now()));
  };
  arm();

  return {
    receivedMs,
    leftMs: () => endMs - now(),
    grant(ms) {
      if (passed) return;
      endMs = receivedMs + ms;
      // Budgets are moved with nearly every request, and mostly to and fro: setting a timer costs more than leaving it.
      if (wakesMs <= endMs) return;
      if (timer !== undefined) clearTimeout(timer);
      arm();
    },
    onPassed(stop) {
      if (passed) stop();
      else stops.add(stop);
      return () => void stops.delete(stop);
    },
    bound(work) {
      if (!(work instanceof Promise) && !passed) return work;
      return new Promise((resolve, fail) => {
        reject = fail;
        if (passed) fail(overrun());
        Promise.resolve(work).then(resolve, fail);
      });
    },
    release() {
      if (timer !== undefined) clearTimeout(timer);
      stops.clear();
    },
  };
}

function overrun(): SppError {
  return new SppError('budget-overrun', 'The latency budget ran out before there was an answer.', {
    hint: 'Ask with a larger X-Latency-Budget, or let the operator lower the quality that the policy promises.',
  });
}
