import { expect, test } from 'vitest';
import { keptFeeds } from './kept-feeds.ts';

function counted() {
  const asked: string[] = [];
  const feeds = async (indices: readonly number[]) => {
    asked.push(indices.join());
    const data = Float32Array.from(indices);
    return { x: { dtype: 'float32' as const, dims: [indices.length], data } };
  };
  return { asked, split: { count: 100, feeds } };
}

test('reads the same examples once, as long as they fit', async () => {
  const { asked, split } = counted();
  const kept = keptFeeds(split, 3 * 4);
  for (let pass = 0; pass < 2; pass++) {
    expect((await kept.feeds([1, 2])).x?.data).toEqual(Float32Array.of(1, 2));
    expect((await kept.feeds([3, 4])).x?.data).toEqual(Float32Array.of(3, 4));
  }
  expect(asked).toEqual(['1,2', '3,4', '3,4']);
});

test('a reading that fails is tried again', async () => {
  let fails = true;
  const feeds = async () => {
    if (fails) throw new Error('gone');
    return {};
  };
  const kept = keptFeeds({ count: 1, feeds }, 100);
  await expect(kept.feeds([0])).rejects.toThrow('gone');
  fails = false;
  expect(await kept.feeds([0])).toEqual({});
});
