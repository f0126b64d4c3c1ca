/** `--data text:`. */
import { describe, expect, test } from 'vitest';
import { blocks } from './dataset.ts';
import { openDataset } from './open-dataset.ts';
import { file, pathOf, withFolder, wordTokenizer } from './source-files.fixture.ts';

withFolder();

describe('text', () => {
  const letters = () => file('letters.json', JSON.stringify({ vocabulary: [...'abcdefghij\n'] }));

  test('windows of the first 90 % train, the rest tests; labels are what follows', async () => {
    const text = 'abcdefghij'.repeat(20);
    const dataset = await openDataset(`text:${await file('a.txt', text)}`, {
      tokenizer: `chars:${await letters()}`,
      length: 6,
    });
    expect([dataset.train.count, dataset.test.count]).toEqual([29, 3]);
    expect((await dataset.train.read([1])).tokens).toEqual({
      dtype: 'int32',
      dims: [1, 6],
      data: Int32Array.of(6, 7, 8, 9, 0, 1),
    });
    expect(dataset.train.labels?.([1])).toEqual(Int32Array.of(7, 8, 9, 0, 1, 2));
    // 180 characters train, so the test text begins with "a" again.
    expect((await dataset.test.read([0])).tokens?.data[0]).toBe(0);
  });

  test('characters that the vocabulary lacks are told with their line, and too many fail', async () => {
    const path = await file('odd.txt', `${'abc\n'.repeat(100)}aXb\n${'abc\n'.repeat(100)}`);
    const settings = { tokenizer: `chars:${await letters()}`, length: 8 };
    const notes: string[] = [];
    await openDataset(`text:${path}`, { ...settings, note: (note) => notes.push(note) });
    expect(notes).toEqual([expect.stringMatching(/1 of 804 records are bad: .*odd\.txt:101: .*"X"/)]);
    await expect(openDataset(`text:${path}`, { ...settings, maxBad: 0 })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('odd.txt:101'),
    });
  });

  test('a file larger than a block is read whole, line by line', async () => {
    const lines = Array.from({ length: 60_000 }, (_, i) => 'abcdefghij'.repeat(2 + (i % 4)));
    const text = `${lines.join('\n')}\n`;
    expect(text.length).toBeGreaterThan(2 ** 21);
    const dataset = await openDataset(`text:${await file('long.txt', text)}`, {
      tokenizer: `chars:${await letters()}`,
      length: 1000,
    });
    const { train } = dataset;
    const expected = Array.from(text, (character) => 'abcdefghij\n'.indexOf(character));
    for (const indices of blocks(train.count, 500)) {
      const read = (await train.read(indices)).tokens?.data as Int32Array;
      const from = (indices[0] as number) * 1000;
      expect(read.findIndex((id, i) => id !== expected[from + i])).toBe(-1);
    }
  });

  test('a Hugging Face tokenizer, whole words', async () => {
    const path = await file('words.txt', 'to be or not to be '.repeat(40));
    const dataset = await openDataset(`text:${path}`, { tokenizer: await wordTokenizer(), length: 5 });
    expect((await dataset.train.read([0])).tokens?.data).toEqual(Int32Array.of(3, 4, 5, 6, 3));
  });

  test('text without a tokenizer, and a file that is none', async () => {
    const path = await file('b.txt', 'abc');
    await expect(openDataset(`text:${path}`)).rejects.toMatchObject({ code: 'usage' });
    await expect(openDataset(`text:${path}`, { tokenizer: path })).rejects.toMatchObject({
      code: 'bad-data',
    });
    const tokenizer = `chars:${await letters()}`;
    await expect(openDataset(`text:${path}`, { tokenizer })).rejects.toThrow(/too few for windows of 128/);
    await expect(openDataset(`text:${pathOf('none')}`, { tokenizer })).rejects.toThrow(/cannot be read/);
  });
});
