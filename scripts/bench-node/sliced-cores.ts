/**
 * Work of several threads on fewer cores, in simulated time, as an operating system deals with it: a thread has a core for a
 * slice of time, then the next one that waits; who becomes ready waits for the end of somebody's slice. That wait of some
 * milliseconds is what matters to one node's deadlines; `scripts/simulate` lets runs on many nodes share cores evenly instead.
 */

export interface SlicedCores {
  readonly nowMs: number;
  /** Adds work to a thread, behind what it has; `done` is called when it is through, and may add more. */
  add(thread: string, workMs: number, done: () => void): void;
  /** Goes on to a time, doing what is done by then. */
  runUntil(atMs: number): void;
  /** Lets time pass in which no thread gets on. */
  standStill(ms: number): void;
  /** Goes on until no thread has work. */
  runOut(): void;
}

export interface CoresOptions {
  readonly cores: number;
  readonly sliceMs: number;
  /** Threads that leave their core to any other at once. */
  readonly yields: (thread: string) => boolean;
}

interface Thread {
  readonly name: string;
  readonly pieces: { leftMs: number; readonly done: () => void }[];
  /** Until when it may keep its core; undefined where it has none. */
  sliceEndMs: number | undefined;
}

/** Less than this is nothing: what is left by rounding. */
const NOTHING_MS = 1e-9;

export function slicedCores({ cores, sliceMs, yields }: CoresOptions): SlicedCores {
  const threads = new Map<string, Thread>();
  const running = new Set<Thread>();
  /** Ready, in order. */
  let waiting: Thread[] = [];
  let nowMs = 0;

  const leave = (thread: Thread) => {
    running.delete(thread);
    thread.sliceEndMs = undefined;
    if (thread.pieces.length > 0) waiting.push(thread);
  };
  const deal = () => {
    for (const thread of running)
      if (waiting.length > 0 && (thread.sliceEndMs ?? 0) <= nowMs + NOTHING_MS) leave(thread);
    for (const thread of running)
      if (running.size >= cores && yields(thread.name) && waiting.some(({ name }) => !yields(name)))
        leave(thread);
    waiting = [...waiting.filter(({ name }) => !yields(name)), ...waiting.filter(({ name }) => yields(name))];
    for (const thread of waiting.splice(0, cores - running.size)) {
      thread.sliceEndMs = nowMs + sliceMs;
      running.add(thread);
    }
  };
  /** Goes on to the next end of a piece or a slice, at most to a time. @returns whether it came there, or there is no more */
  const step = (untilMs: number): boolean => {
    deal();
    let tookMs = untilMs - nowMs;
    for (const { pieces, sliceEndMs = 0 } of running)
      tookMs = Math.min(
        tookMs,
        pieces[0]?.leftMs ?? 0,
        sliceEndMs > nowMs + NOTHING_MS ? sliceEndMs - nowMs : Number.POSITIVE_INFINITY,
      );
    if (!Number.isFinite(tookMs)) return true;
    nowMs += tookMs;
    for (const { pieces } of running) if (pieces[0] !== undefined) pieces[0].leftMs -= tookMs;
    for (const thread of running) {
      const [piece] = thread.pieces;
      if (piece === undefined || piece.leftMs > NOTHING_MS) continue;
      thread.pieces.shift();
      if (thread.pieces.length === 0) leave(thread);
      piece.done();
    }
    return nowMs >= untilMs;
  };

  return {
    get nowMs() {
      return nowMs;
    },
    add(name, workMs, done) {
      const thread = threads.get(name) ?? { name, pieces: [], sliceEndMs: undefined };
      threads.set(name, thread);
      thread.pieces.push({ leftMs: workMs, done });
      if (thread.sliceEndMs === undefined && !waiting.includes(thread)) waiting.push(thread);
    },
    runUntil(atMs) {
      while (nowMs < atMs && !step(atMs));
      nowMs = Math.max(nowMs, atMs);
    },
    standStill(ms) {
      nowMs += ms;
      for (const thread of running) if (thread.sliceEndMs !== undefined) thread.sliceEndMs += ms;
    },
    runOut() {
      while (!step(Number.POSITIVE_INFINITY));
    },
  };
}
