/** What runs at once shares so many cores: each gets an equal part of them, at most what it can use. */
import type { Timeline } from './machine.ts';

export interface SharedCores {
  /**
   * @param workMs of a whole core
   * @param most of a core that it can use, 1 or less
   */
  run(workMs: number, most: number, done: () => void): void;
}

interface Run {
  leftMs: number;
  readonly most: number;
  readonly done: () => void;
}

/** With as many cores as there are runs, each takes `workMs / most`. */
export function sharedCores(cores: number, { now, later }: Timeline): SharedCores {
  const runs = new Set<Run>();
  let sinceMs = 0;
  /** Of the latest plan: what an earlier one has put on the agenda counts no more. */
  let plan = 0;

  const rateOf = ratesOf(cores, runs);
  const advance = () => {
    for (const run of runs) run.leftMs -= (now() - sinceMs) * rateOf(run);
    sinceMs = now();
  };
  const next = () => {
    const here = ++plan;
    let soonestMs = Number.POSITIVE_INFINITY;
    for (const run of runs) soonestMs = Math.min(soonestMs, run.leftMs / rateOf(run));
    if (runs.size > 0)
      later(now() + Math.max(0, soonestMs), () => {
        if (plan === here) settle();
      });
  };
  const settle = () => {
    advance();
    const ended = [...runs].filter(({ leftMs }) => leftMs <= 1e-6);
    for (const run of ended) runs.delete(run);
    next();
    for (const run of ended) run.done();
  };

  return {
    run(workMs, most, done) {
      if (!Number.isFinite(cores)) {
        later(now() + workMs / most, done);
        return;
      }
      advance();
      runs.add({ leftMs: workMs, most, done });
      next();
    },
  };
}

/** Who can use less than an equal part leaves the rest to the others. */
function ratesOf(cores: number, runs: ReadonlySet<Run>): (run: Run) => number {
  return (run) => {
    let [left, takers] = [cores, runs.size];
    for (const most of [...runs].map((other) => other.most).sort((a, b) => a - b)) {
      const part = Math.min(most, left / takers);
      if (most >= run.most) return Math.min(run.most, left / takers);
      left -= part;
      takers--;
    }
    return run.most;
  };
}
