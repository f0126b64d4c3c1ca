/**
 * Keeps requests from a node that fails them. It opens on the share of failures among enough requests, never on a single
 * one; after a pause it lets one request at a time through, and closes with the first few that succeed.
 *
 *   closed ──(failures >= SHARE of >= MINIMUM)──> open ──(pause)──> half-open ──(TRIALS succeed)──> closed
 *                                                  ^────(one fails: twice the pause)────┘
 */
export interface Breaker {
  /** Open and half-open keep ordinary requests out; half-open wants a trial. */
  state(nowMs: number): 'closed' | 'open' | 'half-open';
  success(nowMs: number): void;
  failure(nowMs: number): void;
}

const MINIMUM = 5;
const SHARE = 0.5;
/** Outcomes count for half as much after this. */
const HALF_LIFE_MS = 5000;
const TRIALS = 2;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

export function breaker(): Breaker {
  let failures = 0;
  let successes = 0;
  let countedAtMs = 0;
  /** When it opened; undefined while it is closed. */
  let openedAtMs: number | undefined;
  let pauseMs = FIRST_PAUSE_MS;
  let trialsPassed = 0;

  const decay = (nowMs: number) => {
    const factor = 2 ** -(Math.max(0, nowMs - countedAtMs) / HALF_LIFE_MS);
    failures *= factor;
    successes *= factor;
    countedAtMs = nowMs;
  };
  const open = (nowMs: number) => {
    openedAtMs = nowMs;
    trialsPassed = 0;
  };
  const state = (nowMs: number) => {
    if (openedAtMs === undefined) return 'closed';
    return nowMs - openedAtMs < pauseMs ? 'open' : 'half-open';
  };

  return {
    state,
    success(nowMs) {
      const now = state(nowMs);
      if (now === 'half-open' && ++trialsPassed >= TRIALS) {
        openedAtMs = undefined;
        failures = 0;
        successes = 0;
        pauseMs = FIRST_PAUSE_MS;
      }
      if (now !== 'closed') return;
      decay(nowMs);
      successes++;
    },
    failure(nowMs) {
      const now = state(nowMs);
      if (now === 'half-open') {
        pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs);
        open(nowMs);
      }
      if (now !== 'closed') return;
      decay(nowMs);
      failures++;
      // What came shortly after one another has decayed a little already.
      if (failures + successes > MINIMUM - 0.5 && failures >= SHARE * (failures + successes)) open(nowMs);
    },
  };
}
