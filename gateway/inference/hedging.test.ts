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

async function race(first: Attempt<string>, second: Attempt<string> | undefined) {
  const asked = vi.fn(async () => second);
  const outcome = hedged(first, 10, asked, (text) => text.startsWith('good'));
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
