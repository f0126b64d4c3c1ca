/** A second node for a request whose first one is slow: the first good answer counts. Only within a share of requests. */

/** Each request earns its share; sending to a second node costs one. */
export interface HedgeCredit {
  earn(share: number): void;
  /** @returns whether there was one to spend */
  spend(): boolean;
  /** For a second node that was not sent to after all. */
  giveBack(): void;
}

/** So much may be saved up: a burst of slow requests does not double the load at once. */
const MOST = 5;

export function hedgeCredit(): HedgeCredit {
  let credit = 0;
  return {
    earn(share) {
      credit = Math.min(MOST, credit + share);
    },
    spend() {
      if (credit < 1) return false;
      credit--;
      return true;
    },
    giveBack() {
      credit++;
    },
  };
}

export interface Attempt<T> {
  readonly done: Promise<T>;
  stop(): void;
}

/**
 * @param later tells when the first one is slow; what it returns takes that back
 * @param second starts the other attempt; undefined when there is none to be had, or when it is `wanted` no more: what it is paid from may
 * have to be asked first, and an answer that is there does not wait for that
 * @param isGood whether an outcome ends the matter; the other attempt is then stopped
 * @returns the first good outcome, or that of `first` when neither is good
 */
export function hedged<T>(
  first: Attempt<T>,
  later: (slow: () => void) => () => void,
  second: (wanted: () => boolean) => Promise<Attempt<T> | undefined>,
  isGood: (outcome: T) => boolean,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let slow = false;
    const inTime = later(() => {
      slow = true;
      bothOf(first, second, isGood).then(resolve, reject);
    });
    const failed = (error: unknown) => {
      inTime();
      reject(error);
    };
    first.done.then((outcome) => {
      if (slow) return;
      inTime();
      resolve(outcome);
    }, failed);
  });
}

function bothOf<T>(
  first: Attempt<T>,
  second: (wanted: () => boolean) => Promise<Attempt<T> | undefined>,
  isGood: (outcome: T) => boolean,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let left = 2;
    let decided = false;
    let other: Attempt<T> | undefined;
    const over = () => {
      left--;
      if (left === 0 && !decided) first.done.then(resolve, reject);
    };
    const settle = (outcome: T, loser: Attempt<T> | undefined) => {
      if (!decided && isGood(outcome)) {
        decided = true;
        resolve(outcome);
        loser?.stop();
      }
      over();
    };
    first.done.then((outcome) => settle(outcome, other), reject);
    second(() => !decided).then((started) => {
      if (started === undefined) return over();
      if (decided) return started.stop();
      other = started;
      started.done.then((outcome) => settle(outcome, first), reject);
    }, reject);
  });
}
