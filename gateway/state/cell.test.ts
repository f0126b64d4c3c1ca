import { describe, expect, test } from 'vitest';
import { type Background, cell } from './cell.ts';
import { cellMap } from './cell-map.ts';

/** A clock, a source whose loads are answered by hand, and the work left for the background. */
function bench(maxAgeMs?: number) {
  let nowMs = 0;
  const loads: { resolve: (value: string) => void; reject: (error: Error) => void }[] = [];
  const work: Promise<unknown>[] = [];
  const errors: unknown[] = [];
  const background: Background = { waitUntil: (promise) => void work.push(promise) };
  const options = {
    load: () =>
      new Promise<string>((resolve, reject) => {
        loads.push({ resolve, reject });
      }),
    ttlMs: 10,
    ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
    now: () => nowMs,
    onError: (error: unknown) => void errors.push(error),
  };
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { options, background, loads, work, errors, pass };
}

async function filled(maxAgeMs?: number) {
  const all = bench(maxAgeMs);
  const held = cell(all.options);
  const first = held.get(all.background);
  all.loads[0]?.resolve('one');
  expect(await first).toBe('one');
  return { ...all, held };
}

describe('a cell', () => {
  test('answers from memory while it is fresh', async () => {
    const { held, background, loads, pass } = await filled();
    pass(9);
    expect(await held.get(background)).toBe('one');
    expect(loads).toHaveLength(1);
  });

  test('takes a value for too old when the clock was set back', async () => {
    const { held, background, loads, pass } = await filled(100);
    pass(-5);
    const anew = held.get(background);
    loads[1]?.resolve('two');
    expect(await anew).toBe('two');
    expect(held.get(background)).toBe('two');
    expect(loads).toHaveLength(2);
  });

  test('waits for a better one when the value is too old, and keeps to it when there is none', async () => {
    const all = bench();
    const held = cell({ ...all.options, waitFromMs: 25 });
    const first = held.get(all.background);
    all.loads[0]?.resolve('one');
    await first;
    all.pass(25);
    const waited = held.get(all.background);
    all.loads[1]?.resolve('two');
    expect(await waited).toBe('two');
    all.pass(25);
    const away = held.get(all.background);
    all.loads[2]?.reject(new Error('away'));
    expect(await away).toBe('two');
    expect(all.errors).toEqual([new Error('away')]);
    // The next ones do not wait for what has just failed.
    expect(await held.get(all.background)).toBe('two');
  });

  test('keeps the value in hand, as old as the one that was loaded, where both say the same', async () => {
    const all = bench();
    const held = cell<readonly string[]>({
      ...all.options,
      load: async () => [(await all.options.load()).slice(0, 1)],
      maxAgeMs: 50,
      same: ([a], [b]) => a === b,
    });
    const first = held.get(all.background);
    all.loads[0]?.resolve('one');
    const value = await first;
    const refreshed = async (stored: string) => {
      all.pass(40);
      await held.get(all.background);
      all.loads.at(-1)?.resolve(stored);
      await Promise.all(all.work);
      return held.get(all.background);
    };
    expect(await refreshed('other')).toBe(value);
    expect(await refreshed('once more')).toBe(value);
    expect(await refreshed('two')).toEqual(['t']);
  });

  test('answers with the old value while one refresh runs', async () => {
    const { held, background, loads, work, pass } = await filled();
    pass(10);
    expect(await held.get(background)).toBe('one');
    expect(await held.get(background)).toBe('one');
    expect(loads).toHaveLength(2);
    loads[1]?.resolve('two');
    await Promise.all(work);
    expect(await held.get(background)).toBe('two');
  });

  test('a refresh that began before a set does not undo it', async () => {
    const { held, background, loads, work, pass } = await filled();
    pass(10);
    await held.get(background);
    held.set('newest');
    loads[1]?.resolve('old');
    await Promise.all(work);
    expect(await held.get(background)).toBe('newest');
  });

  test('a failed refresh is reported, keeps the old value, and is tried again', async () => {
    const { held, background, loads, work, errors, pass } = await filled();
    pass(10);
    await held.get(background);
    loads[1]?.reject(new Error('storage is away'));
    await Promise.all(work);
    expect(errors).toHaveLength(1);
    expect(await held.get(background)).toBe('one');
    expect(loads).toHaveLength(3);
  });

  test('a refresh that never returns does not block later ones', async () => {
    const { held, background, loads, pass } = await filled();
    pass(10);
    await held.get(background);
    pass(10_000);
    await held.get(background);
    expect(loads).toHaveLength(3);
  });

  test('a value past its greatest age is not used, even when storage fails', async () => {
    const { held, background, loads, pass } = await filled(50);
    pass(50);
    const answer = held.get(background);
    loads[1]?.reject(new Error('storage is away'));
    await expect(answer).rejects.toThrow('storage is away');
  });

  test('of requests that come at once after a pause one loads, and the others look for what it brings', async () => {
    const all = bench();
    const pause = async () => all.pass(2);
    const held = cell({ ...all.options, pause, waitFromMs: 25 });
    const first = [1, 2, 3].map(() => held.get(all.background));
    all.loads[0]?.resolve('one');
    expect(await Promise.all(first)).toEqual(['one', 'one', 'one']);
    all.pass(25);
    const later = [1, 2, 3].map(() => held.get(all.background));
    all.loads[1]?.resolve('two');
    expect(await Promise.all(later)).toEqual(['two', 'two', 'two']);
    expect(all.loads).toHaveLength(2);
  });

  test('who looks for a load that went with its request, or failed, loads before long', async () => {
    const all = bench();
    const held = cell({ ...all.options, pause: async () => all.pass(2) });
    void held.get(all.background);
    const second = held.get(all.background);
    await expect.poll(() => all.loads.length).toBe(2);
    all.loads[1]?.resolve('two');
    expect(await second).toBe('two');

    const other = bench();
    const failing = cell({ ...other.options, pause: async () => other.pass(2) });
    const [lost, kept] = [failing.get(other.background), failing.get(other.background)];
    other.loads[0]?.reject(new Error('storage is away'));
    await expect(lost).rejects.toThrow('storage is away');
    await expect.poll(() => other.loads.length).toBe(2);
    other.loads[1]?.resolve('one');
    expect(await kept).toBe('one');
  });

  test('a failed first load is the error of those who asked, and is not kept', async () => {
    const { options, background, loads } = bench();
    const held = cell(options);
    const first = held.get(background);
    loads[0]?.reject(new Error('storage is away'));
    await expect(first).rejects.toThrow();
    const second = held.get(background);
    loads[1]?.resolve('one');
    expect(await second).toBe('one');
  });

  test('is read anew after a change, and an older reading that comes later does not take its place', async () => {
    const { held, background, loads, pass } = await filled();
    pass(10);
    expect(held.get(background)).toBe('one');
    const [changed, changedAgain] = [held.reload(), held.reload()];
    loads[3]?.resolve('three');
    expect(await changedAgain).toBe('three');
    loads[1]?.resolve('one');
    loads[2]?.resolve('two');
    expect(await changed).toBe('three');
    expect(held.get(background)).toBe('three');
    expect(loads).toHaveLength(4);
  });
});

test('a map of cells forgets the keys that were not used for a generation', async () => {
  const loaded: string[] = [];
  const background: Background = { waitUntil: () => {} };
  const map = cellMap({
    load: async (key: string) => {
      loaded.push(key);
      return key.toUpperCase();
    },
    ttlMs: 10,
    now: () => 0,
    onError: () => {},
    limit: 2,
  });
  for (const key of ['a', 'b', 'c', 'a', 'd', 'c', 'b'])
    expect(await map.get(key, background)).toBe(key.toUpperCase());
  expect(loaded).toEqual(['a', 'b', 'c', 'd', 'b']);
  map.drop('b');
  map.set('a', 'set');
  expect([await map.get('a', background), await map.get('b', background)]).toEqual(['set', 'B']);
  expect(loaded).toEqual(['a', 'b', 'c', 'd', 'b', 'b']);
});
