/** One clock for a request, from receipt to answer. When it runs out, all work stops, and the answer is that it ran out. */
import { SppError } from '../../schema/errors.ts';
import { type TimerLateness, timerLateness } from './timer-lateness.ts';

/** A timer is set so much of the budget ahead of its end at most, however late timers are. */
const EARLY_SHARE = 0.02;

export class Deadline {
  readonly receivedMs: number;
  readonly #now: () => number;
  readonly #lateness: TimerLateness;
  readonly #stops: (() => void)[] = [];
  #endMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer goes off: at the end, or before an end that was moved away, and then it is set anew. */
  #wakesMs = Number.POSITIVE_INFINITY;
  #passed = false;

  /** @param lateness of the runtime's timers, which are set ahead by it */
  constructor(
    receivedMs: number,
    budgetMs: number,
    now: () => number,
    lateness: TimerLateness = timerLateness(),
  ) {
    this.receivedMs = receivedMs;
    this.#now = now;
    this.#lateness = lateness;
    this.#endMs = receivedMs + budgetMs;
    this.#arm();
  }

  /** Milliseconds until it passes; none once it has. */
  leftMs(): number {
    const leftMs = this.#endMs - this.#now();
    return this.#passed ? Math.min(0, leftMs) : leftMs;
  }

  /** Moves it to this long after receipt. */
  grant(ms: number): void {
    if (this.#passed) return;
    this.#endMs = this.receivedMs + ms;
    // Budgets are moved with nearly every request, and mostly to and fro: setting a timer costs more than leaving it.
    if (this.#wakesMs <= this.#dueMs()) return;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#arm();
  }

  /** Told when it passes; what it returns takes that back. */
  onPassed(stop: () => void): () => void {
    if (this.#passed) {
      stop();
      return () => {};
    }
    this.#stops.push(stop);
    return () => {
      // The one that came last, mostly.
      const place = this.#stops.lastIndexOf(stop);
      if (place === this.#stops.length - 1) this.#stops.length = Math.max(0, place);
      else if (place >= 0) this.#stops.splice(place, 1);
    };
  }

  /** What `work` comes to, unless the deadline passes first. @throws `budget-overrun` then, whatever the work does */
  bound<T>(work: T | Promise<T>): T | Promise<T> {
    if (!(work instanceof Promise) && !this.#passed) return work;
    return new Promise((resolve, reject) => {
      const done = this.onPassed(() => reject(overrun()));
      Promise.resolve(work).then(
        (value) => {
          done();
          resolve(value);
        },
        (error) => {
          done();
          reject(error);
        },
      );
    });
  }

  /**
   * For an answer that is complete: nothing is stopped any more. The timer is left alone: it ends with the request, for less
   * than it costs to take it back, and otherwise finds nothing to do.
   */
  release(): void {
    this.#stops.length = 0;
  }

  /** When a timer has to be due to go off at the end. */
  #dueMs(): number {
    return this.#endMs - Math.min(this.#lateness.ms(), EARLY_SHARE * (this.#endMs - this.receivedMs));
  }

  #arm(): void {
    this.#wakesMs = this.#dueMs();
    this.#timer = setTimeout(() => this.#pass(), Math.ceil(Math.max(0, this.#wakesMs - this.#now())));
  }

  #pass(): void {
    const nowMs = this.#now();
    this.#lateness.wentOff(nowMs - this.#wakesMs);
    // Timers keep their own time, and may come a little early by ours.
    if (nowMs < this.#dueMs() - 1) {
      this.#arm();
      return;
    }
    this.#passed = true;
    for (const stop of this.#stops.splice(0)) stop();
  }
}

export function overrun(): SppError {
  return new SppError('budget-overrun', 'The latency budget ran out before there was an answer.', {
    hint: 'Ask with a larger X-Latency-Budget, or let the operator lower the quality that the policy promises.',
  });
}
