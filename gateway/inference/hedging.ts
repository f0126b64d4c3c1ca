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
 * @param second starts the other attempt; undefined when there is none to be had, or when it is `wanted` no more: what it is paid from may
 * have to be asked first, and an answer that is there does not wait for that
 * @param isGood whether an outcome ends the matter; the other attempt is then stopped
 * @returns the first good outcome, or that of `first` when neither is good
 */
export async function hedged<T>(
  first: Attempt<T>,
  afterMs: number,
  second: (wanted: () => boolean) => Promise<Attempt<T> | undefined>,
  isGood: (outcome: T) => boolean,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const slow = new Promise<'slow'>((resolve) => {
    timer = setTimeout(() => resolve('slow'), afterMs);
  });
  const early = await Promise.race([first.done, slow]);
  if (timer !== undefined) clearTimeout(timer);
  if (early !== 'slow') return early;
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
