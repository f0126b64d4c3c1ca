import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Attempt, hedgeCredit, hedged } from './hedging.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function attempt(outcome: string, afterMs: number): Attempt<string> & { stopped: boolean } {
  const made = {
    stopped: false,
    stop() {
      made.stopped = true;
    },
    done: new Promise<string>((resolve) => setTimeout(() => resolve(outcome), afterMs)),
  };
  return made;
}

/** After 10 ms. */
function later(slow: () => void) {
  const timer = setTimeout(slow, 10);
  return () => clearTimeout(timer);
}

async function race(first: Attempt<string>, second: Attempt<string> | undefined) {
  const asked = vi.fn(async () => second);
  const outcome = hedged(first, later, asked, (text) => text.startsWith('good'));
  await vi.advanceTimersByTimeAsync(1000);
  return { outcome: await outcome, asked: asked.mock.calls.length };
}

describe('hedging', () => {
  test('asks no second node when the first is in time', async () => {
    expect(await race(attempt('good a', 9), attempt('good b', 1))).toEqual({ outcome: 'good a', asked: 0 });
    expect(await race(attempt('bad a', 9), attempt('good b', 1))).toEqual({ outcome: 'bad a', asked: 0 });
  });

  test('takes the first good answer and stops the other', async () => {
    const [slow, quick] = [attempt('good a', 100), attempt('good b', 5)];
    expect((await race(slow, quick)).outcome).toBe('good b');
    expect([slow.stopped, quick.stopped]).toEqual([true, false]);
    const [late, later] = [attempt('good a', 12), attempt('good b', 50)];
    expect((await race(late, later)).outcome).toBe('good a');
    expect([late.stopped, later.stopped]).toEqual([false, true]);
  });

  test('waits for the other when one fails, and answers as the first when both do', async () => {
    expect((await race(attempt('bad a', 12), attempt('good b', 50))).outcome).toBe('good b');
    expect((await race(attempt('good a', 90), attempt('bad b', 5))).outcome).toBe('good a');
    expect((await race(attempt('bad a', 90), attempt('bad b', 5))).outcome).toBe('bad a');
  });

  test('does not hold an answer back while a second node is still to be paid, and then sends to none', async () => {
    let wantedThen: boolean | undefined;
    const paid = async (wanted: () => boolean) => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      wantedThen = wanted();
      return undefined;
    };
    let answeredAtMs: number | undefined;
    const since = Date.now();
    const outcome = hedged(attempt('good a', 12), later, paid, (text) => text.startsWith('good'));
    void outcome.then(() => (answeredAtMs = Date.now() - since));
    await vi.advanceTimersByTimeAsync(1000);
    expect([await outcome, answeredAtMs, wantedThen]).toEqual(['good a', 12, false]);
  });

  test('stops a second attempt that begins behind the answer, and waits for one behind a failure', async () => {
    const late = attempt('good b', 5);
    const starting = () => new Promise<typeof late>((resolve) => setTimeout(() => resolve(late), 50));
    const isGood = (text: string) => text.startsWith('good');
    const answered = hedged(attempt('good a', 12), later, starting, isGood);
    await vi.advanceTimersByTimeAsync(100);
    expect([await answered, late.stopped]).toEqual(['good a', true]);
    const other = attempt('good b', 5);
    const failed = hedged(attempt('bad a', 12), later, async () => other, isGood);
    await vi.advanceTimersByTimeAsync(100);
    expect([await failed, other.stopped]).toEqual(['good b', false]);
  });

  test('waits on where there is no second node', async () => {
    expect(await race(attempt('good a', 90), undefined)).toEqual({ outcome: 'good a', asked: 1 });
  });

  test('stays within its share of requests, and saves up only a little', () => {
    const credit = hedgeCredit();
    let sent = 0;
    for (let i = 0; i < 1000; i++) {
      credit.earn(0.05);
      if (i >= 500 && credit.spend()) sent++;
    }
    expect(sent).toBeLessThanOrEqual(5 + 25);
    expect(sent).toBeGreaterThanOrEqual(25);
    credit.giveBack();
    expect(credit.spend()).toBe(true);
  });
});
