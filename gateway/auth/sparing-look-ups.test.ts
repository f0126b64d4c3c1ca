import { expect, test } from 'vitest';
import { sparingLookUps } from './sparing-look-ups.ts';

/** A database of so many tokens, and how often it is asked for one and for all of them. */
function database(there: string[] = ['mine']) {
  let nowMs = 0;
  const reads = { rows: 0, lists: 0 };
  const lookUp = sparingLookUps<string>({
    load: async (prefix) => {
      reads.rows++;
      return there.includes(prefix) ? prefix : null;
    },
    prefixes: async (most) => {
      reads.lists++;
      return there.slice(0, most);
    },
    now: () => nowMs,
    onError: () => {},
  });
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { there, reads, lookUp, pass };
}

test('a flood of made-up prefixes costs some look-ups and a list a second, however large it is', async () => {
  const { reads, lookUp, pass } = database();
  for (let count = 0; count < 10_000; count++) {
    expect(await lookUp(`made-up-${count}`)).toBeNull();
    pass(1);
  }
  expect(reads.rows).toBeLessThanOrEqual(20 + 10 * 10 + 1);
  expect(reads.lists).toBeLessThanOrEqual(11);
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

test('without a flood nothing is listed', async () => {
  const { reads, lookUp, pass } = database();
  for (let count = 0; count < 100; count++) {
    await lookUp(`mistyped-${count}`);
    pass(200);
  }
  expect(reads).toEqual({ rows: 100, lists: 0 });
});

test('more tokens than are listed are looked up one by one', async () => {
  const { reads, lookUp } = database(Array.from({ length: 50_001 }, (_, count) => `t${count}`));
  for (let count = 0; count < 100; count++) expect(await lookUp(`made-up-${count}`)).toBeNull();
  expect(await lookUp('t50000')).toBe('t50000');
  expect(reads).toEqual({ rows: 101, lists: 1 });
});
