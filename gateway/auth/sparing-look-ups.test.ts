import { expect, test } from 'vitest';
import { sparingLookUps } from './sparing-look-ups.ts';

/** A database of so many tokens, and how often it is asked for one and for all of them. */
function database(there: string[] = ['mine']) {
  let nowMs = 0;
  const reads = { rows: 0, lists: 0 };
  /** Until when the list takes to be read. */
  const slow = { done: Promise.resolve() };
  const lookUp = sparingLookUps<string>({
    load: async (prefix) => {
      reads.rows++;
      return there.includes(prefix) ? prefix : null;
    },
    prefixes: async (most) => {
      reads.lists++;
      await slow.done;
      return there.slice(0, most);
    },
    now: () => nowMs,
  });
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { there, reads, slow, lookUp, pass };
}

test('a flood of made-up prefixes costs some look-ups and two lists a second, however large it is', async () => {
  const { reads, lookUp, pass } = database();
  for (let count = 0; count < 10_000; count++) {
    expect(await lookUp(`made-up-${count}`)).toBeNull();
    pass(1);
  }
  expect(reads.rows).toBeLessThanOrEqual(20 + 10 * 10 + 1);
  expect(reads.lists).toBeLessThanOrEqual(21);
});

test('in a flood, whoever has a token is found at once, and one made meanwhile within a second', async () => {
  const { there, reads, lookUp, pass } = database();
  const flood = async () => {
    for (let count = 0; count < 100; count++) await lookUp(`made-up-${count}`);
  };
  await flood();
  expect(await lookUp('mine')).toBe('mine');
  there.push('new');
  pass(999);
  await flood();
  pass(1);
  await flood();
  expect(await lookUp('new')).toBe('new');
  const { rows } = reads;
  for (let count = 0; count < 50; count++) expect(await lookUp('mine')).toBe('mine');
  expect(reads.rows).toBe(rows + 50);
});

test('a list that is slow to come is read once, and waited for by nobody else', async () => {
  const { reads, slow, lookUp, pass } = database();
  for (let count = 0; count < 21; count++) await lookUp(`made-up-${count}`);
  let come = () => {};
  slow.done = new Promise((resolve) => (come = resolve));
  const first = lookUp('made-up-first');
  for (let count = 0; count < 50; count++) expect(await lookUp(`made-up-late-${count}`)).toBeNull();
  expect(reads).toEqual({ rows: 71, lists: 1 });
  come();
  expect(await first).toBeNull();
  // The one in hand is good while another one is read.
  pass(600);
  slow.done = new Promise((resolve) => (come = resolve));
  const second = lookUp('made-up-second');
  expect(await lookUp('made-up-meanwhile')).toBeNull();
  expect(reads).toEqual({ rows: 71, lists: 2 });
  come();
  await second;
});

test('without a flood nothing is listed', async () => {
  const { reads, lookUp, pass } = database();
  for (let count = 0; count < 100; count++) {
    await lookUp(`mistyped-${count}`);
    pass(200);
  }
  expect(reads).toEqual({ rows: 100, lists: 0 });
});

test('more tokens than are listed are looked up one by one', async () => {
  const { reads, lookUp } = database(Array.from({ length: 20_001 }, (_, count) => `t${count}`));
  for (let count = 0; count < 100; count++) expect(await lookUp(`made-up-${count}`)).toBeNull();
  expect(await lookUp('t20000')).toBe('t20000');
  expect(reads).toEqual({ rows: 101, lists: 1 });
});
