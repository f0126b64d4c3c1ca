/**
 * An even sample of an isolate's decisions: of each window a bounded number, whatever the traffic, each with how many it
 * stands for (reservoir sampling, algorithm R). Written in the background, as rows and as log lines.
 */
import type { DecisionRecord } from '../inference/decision-record.ts';
import type { Background } from '../state/cell.ts';
import type { DecisionInput } from './decision-input.ts';

export interface LoggedDecision {
  readonly record: DecisionRecord;
  readonly keyId: string | null;
  readonly input: DecisionInput | null;
}

export interface WeighedDecision extends LoggedDecision {
  readonly weight: number;
}

export interface DecisionLog {
  /**
   * @param decision made only when it is kept
   * @param background of a request that may carry the window's end; without it another one will
   */
  observe(decision: () => LoggedDecision, background?: Background): void;
  /** Whether the next request to be observed is to carry the window's end: it lives longer than its answer. */
  wantsCarrier(): boolean;
}

export interface DecisionLogOptions {
  readonly write: (decisions: readonly WeighedDecision[]) => Promise<void>;
  readonly now: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly pause: (ms: number) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

export const WINDOW_MS = 10_000;
export const KEPT_IN_WINDOW = 20;
/** A flush that did not come by then was cancelled with its request. */
const LATE_MS = 2 * WINDOW_MS;

export function decisionLog({ write, now, random, pause, onError }: DecisionLogOptions): DecisionLog {
  let kept: LoggedDecision[] = [];
  let seen = 0;
  /** When the window's end was last seen to; undefined while no request carries it. */
  let carriedSinceMs: number | undefined;

  const flush = async () => {
    const weight = kept.length === 0 ? 0 : seen / kept.length;
    const batch = kept.map((decision) => ({ ...decision, weight }));
    kept = [];
    seen = 0;
    carriedSinceMs = undefined;
    if (batch.length > 0) await write(batch).catch(onError);
  };
  const carry = (background: Background, nowMs: number) => {
    carriedSinceMs = nowMs;
    background.waitUntil(pause(WINDOW_MS).then(() => (carriedSinceMs === nowMs ? flush() : undefined)));
  };
  const lost = (nowMs: number) => carriedSinceMs !== undefined && nowMs - carriedSinceMs >= LATE_MS;

  return {
    observe(decision, background) {
      const nowMs = now();
      if (background !== undefined) {
        if (lost(nowMs)) background.waitUntil(flush());
        if (carriedSinceMs === undefined) carry(background, nowMs);
      }
      seen++;
      if (kept.length < KEPT_IN_WINDOW) kept.push(decision());
      else {
        const place = Math.floor(random() * seen);
        if (place < KEPT_IN_WINDOW) kept[place] = decision();
      }
    },
    wantsCarrier: () => carriedSinceMs === undefined || lost(now()),
  };
}
