/** One clock for a request, from receipt to answer. When it runs out, all work stops, and the answer is that it ran out. */
import { SppError } from '../../schema/errors.ts';

export class Deadline {
  readonly receivedMs: number;
  readonly #now: () => number;
  readonly #stops: (() => void)[] = [];
  #endMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer goes off: at the end, or before an end that was moved away, and then it is set anew. */
  #wakesMs = Number.POSITIVE_INFINITY;
  #passed = false;

  constructor(receivedMs: number, budgetMs: number, now: () => number) {
    this.receivedMs = receivedMs;
    this.#now = now;
    this.#endMs = receivedMs + budgetMs;
    this.#arm();
  }

  /** Milliseconds until it passes. */
  leftMs(): number {
    return this.#endMs - this.#now();
  }

  /** Moves it to this long after receipt. */
  grant(ms: number): void {
    if (this.#passed) return;
    this.#endMs = this.receivedMs + ms;
    // Budgets are moved with nearly every request, and mostly to and fro: setting a timer costs more than leaving it.
    if (this.#wakesMs <= this.#endMs) return;
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

  #arm(): void {
    this.#wakesMs = this.#endMs;
    this.#timer = setTimeout(() => this.#pass(), Math.max(0, this.#endMs - this.#now()));
  }

  #pass(): void {
    // Timers keep their own time, and may come a little early by ours.
    if (this.#now() < this.#endMs - 1) {
      this.#arm();
      return;
    }
    this.#passed = true;
    for (const stop of this.#stops.splice(0)) stop();
  }
}

function overrun(): SppError {
  return new SppError('budget-overrun', 'The latency budget ran out before there was an answer.', {
    hint: 'Ask with a larger X-Latency-Budget, or let the operator lower the quality that the policy promises.',
  });
}
