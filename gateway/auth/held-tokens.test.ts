import { describe, expect, test } from 'vitest';
import { heldTokens, MAX_AGE_MS } from './held-tokens.ts';

type State = 'good' | 'revoked';

/** An isolate that asks a database which another isolate writes to. */
function isolate() {
  let nowMs = 0;
  let stored: State | Error = 'good';
  let reads = 0;
  const tokens = heldTokens<State>({
    load: async () => {
      reads++;
      if (stored instanceof Error) throw stored;
      return stored;
    },
    prefixes: async () => [],
    now: () => nowMs,
    onError: () => {},
  });
  return {
    /** @returns what a request with the token finds, and whether it had to wait for the database */
    async asked() {
      const work: Promise<unknown>[] = [];
      const got = tokens.get('0123456789ab', { waitUntil: (promise) => void work.push(promise) });
      const found = await Promise.resolve(got).catch(() => 'unreadable' as const);
      await Promise.all(work);
      return { found, waited: got instanceof Promise };
    },
    pass(ms: number) {
      nowMs += ms;
    },
    store(state: State | Error) {
      stored = state;
    },
    reads: () => reads,
  };
}

describe('a token that another isolate has revoked', () => {
  test('is refused within five seconds, in traffic of any rate', async () => {
    for (const gapMs of [1, 100, 900, 1999, 2000, 4999, 5000, 60_000]) {
      const here = isolate();
      await here.asked();
      here.pass(gapMs);
      await here.asked();
      here.store('revoked');
      let sinceMs = 0;
      while (sinceMs < 5000) {
        here.pass(gapMs);
        sinceMs += gapMs;
        if (sinceMs < 5000) await here.asked();
      }
      expect((await here.asked()).found, `requests ${gapMs} ms apart`).toBe('revoked');
    }
  });

  test('is refused by then when the database cannot be read, and so is every other', async () => {
    const here = isolate();
    await here.asked();
    here.store(new Error('the database is away'));
    here.pass(MAX_AGE_MS - 1);
    expect((await here.asked()).found).toBe('good');
    here.pass(1);
    expect((await here.asked()).found).toBe('unreadable');
    here.store('good');
    expect((await here.asked()).found).toBe('good');
  });
});

test('no request of steady traffic waits for the database, which is read at most every two seconds', async () => {
  const here = isolate();
  await here.asked();
  for (let ms = 0; ms < 60_000; ms += 100) {
    here.pass(100);
    expect(await here.asked()).toEqual({ found: 'good', waited: false });
  }
  expect(here.reads()).toBeLessThanOrEqual(31);
});

test('a row that has not changed stays the same one, so that its token is proved once', async () => {
  let nowMs = 0;
  let models: string[] | null = null;
  const load = async () => ({ prefix: '0123456789ab', models });
  const tokens = heldTokens({ load, prefixes: async () => [], now: () => nowMs, onError: () => {} });
  const asked = async () => {
    const work: Promise<unknown>[] = [];
    await tokens.get('0123456789ab', { waitUntil: (promise) => void work.push(promise) });
    await Promise.all(work);
    return tokens.get('0123456789ab', { waitUntil: () => {} });
  };
  const first = await asked();
  nowMs += 2000;
  expect(await asked()).toBe(first);
  models = ['digits'];
  nowMs += 2000;
  expect(await asked()).toEqual({ prefix: '0123456789ab', models });
});
