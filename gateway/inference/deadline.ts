/** One clock for a request, from receipt to answer. When it runs out, all work stops, and the answer is that it ran out. */
import { SppError } from '../../schema/errors.ts';
import { type TimerLateness, timerLateness } from './timer-lateness.ts';

/** A timer is set so much of the budget ahead of its end at most, however late timers are. */
const EARLY_SHARE = 0.02;
/**
 * No timer is set further ahead at first, so that who wants to be told of what is slow needs none of its own: the runtime takes as long
 * for setting one and taking it back as for reading ten headers, and hardly any request lasts so long.
 */
const FIRST_LOOK_MS = 1000;

interface Watch {
  readonly atMs: number;
  readonly then: () => void;
}

const NONE: readonly Watch[] = [];

export class Deadline {
  readonly receivedMs: number;
  readonly #now: () => number;
  readonly #lateness: TimerLateness;
  readonly #stops: (() => void)[] = [];
  #watches: readonly Watch[] = NONE;
  #endMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer goes off: at the end, or before it, and then it is set anew. */
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
    this.#arm(receivedMs + FIRST_LOOK_MS);
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
    this.#rearm();
  }

  /** Told after so long, unless it passes before; what it returns takes that back. */
  after(ms: number, then: () => void): () => void {
    const watch = { atMs: this.#now() + ms, then };
    this.#watches = [...this.#watches, watch];
    if (watch.atMs < this.#wakesMs) this.#rearm();
    return () => {
      const isOnly = this.#watches.length === 1 && this.#watches[0] === watch;
      this.#watches = isOnly ? NONE : this.#watches.filter((other) => other !== watch);
    };
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
      (work instanceof Promise ? work : Promise.resolve(work)).then(
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
    this.#watches = NONE;
  }

  /** When a timer has to be due to go off at the end. */
  #dueMs(): number {
    return this.#endMs - Math.min(this.#lateness.ms(), EARLY_SHARE * (this.#endMs - this.receivedMs));
  }

  /** @param atMostMs by which it goes off, too */
  #arm(atMostMs = Number.POSITIVE_INFINITY): void {
    const soonestMs = this.#watches.reduce((soonest, { atMs }) => Math.min(soonest, atMs), atMostMs);
    this.#wakesMs = Math.min(this.#dueMs(), soonestMs);
    this.#timer = setTimeout(() => this.#wake(), Math.ceil(Math.max(0, this.#wakesMs - this.#now())));
  }

  #rearm(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#arm();
  }

  #wake(): void {
    const nowMs = this.#now();
    this.#lateness.wentOff(nowMs - this.#wakesMs);
    // Timers keep their own time, and may come a little early by ours.
    if (nowMs >= this.#dueMs() - 1) {
      this.#passed = true;
      this.#watches = NONE;
      for (const stop of this.#stops.splice(0)) stop();
      return;
    }
    const due = this.#watches.filter(({ atMs }) => atMs <= nowMs + 1);
    if (due.length > 0) this.#watches = this.#watches.filter((watch) => !due.includes(watch));
    this.#arm();
    for (const { then } of due) then();
  }
}

export function overrun(): SppError {
  return new SppError('budget-overrun', 'The latency budget ran out before there was an answer.', {
    hint: 'Ask with a larger X-Latency-Budget, or let the operator lower the quality that the policy promises.',
  });
}
