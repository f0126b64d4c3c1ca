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
  /** @param decision made only when it is kept */
  observe(decision: () => LoggedDecision, background: Background): void;
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
  let sinceMs = 0;

  const flush = async () => {
    const weight = kept.length === 0 ? 0 : seen / kept.length;
    const batch = kept.map((decision) => ({ ...decision, weight }));
    kept = [];
    seen = 0;
    if (batch.length > 0) await write(batch).catch(onError);
  };

  return {
    observe(decision, background) {
      const nowMs = now();
      if (seen > 0 && nowMs - sinceMs >= LATE_MS) background.waitUntil(flush());
      if (seen === 0) {
        sinceMs = nowMs;
        const mine = nowMs;
        background.waitUntil(pause(WINDOW_MS).then(() => (sinceMs === mine ? flush() : undefined)));
      }
      seen++;
      if (kept.length < KEPT_IN_WINDOW) kept.push(decision());
      else {
        const place = Math.floor(random() * seen);
        if (place < KEPT_IN_WINDOW) kept[place] = decision();
      }
    },
  };
}
