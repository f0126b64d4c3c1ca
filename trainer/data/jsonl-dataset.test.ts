/** `--data jsonl:`. */
import { describe, expect, test } from 'vitest';
import { openDataset } from './open-dataset.ts';
import { allOf, everything, file, withFolder, wordTokenizer } from './source-files.fixture.ts';

withFolder();

describe('JSON Lines', () => {
  test('labelled texts are an example each, filled up under a mask', async () => {
    const records = Array.from({ length: 20 }, (_, i) => ({
      text: i % 2 ? 'to be' : 'not',
      label: i % 2 ? 'yes' : 'no',
    }));
    const path = await file('texts.jsonl', records.map((record) => JSON.stringify(record)).join('\n'));
    const dataset = await openDataset(`jsonl:${path}`, { tokenizer: await wordTokenizer(), length: 5 });
    expect(dataset.targets).toEqual({ kind: 'class', names: ['no', 'yes'] });
    expect([dataset.train.count, dataset.test.count]).toEqual([18, 2]);
    const { tokens, mask } = await dataset.train.read(everything(dataset.train));
    const labels = dataset.train.labels?.(everything(dataset.train)) ?? [];
    for (const [row, label] of labels.entries()) {
      const at = (tensor: typeof tokens) =>
        Array.from(tensor?.data.slice(5 * row, 5 * row + 5) ?? [], Number);
      expect(at(tokens)).toEqual(label === 1 ? [1, 3, 4, 2, 0] : [1, 6, 2, 0, 0]);
      expect(at(mask)).toEqual(label === 1 ? [1, 1, 1, 1, 0] : [1, 1, 1, 0, 0]);
    }
  });

  test('asked to stay apart, unlabelled texts are an example each, padding has no next token', async () => {
    const path = await file(
      'apart.jsonl',
      Array.from({ length: 20 }, () => JSON.stringify({ tokens: [7, 8, 9] })).join('\n'),
    );
    const dataset = await openDataset(`jsonl:${path}`, { length: 5, apart: true });
    expect(dataset.targets).toEqual({ kind: 'next-token' });
    const { tokens, mask } = await dataset.test.read([0]);
    expect(tokens?.data).toEqual(Int32Array.of(7, 8, 9, 0, 0));
    expect(mask?.data).toEqual(Int32Array.of(1, 1, 1, 0, 0));
    expect(dataset.test.labels?.([0])).toEqual(Int32Array.of(8, 9, -1, -1, -1));
  });

  test('where labels are not wanted, labelled texts run on into windows too', async () => {
    const path = await file(
      'labelled.jsonl',
      Array.from({ length: 30 }, (_, i) => JSON.stringify({ tokens: [i, i, i], label: i % 2 })).join('\n'),
    );
    const dataset = await openDataset(`jsonl:${path}`, { length: 4, withoutLabels: true });
    expect(dataset.targets).toEqual({ kind: 'next-token' });
    expect((await dataset.train.read([1])).tokens?.data).toEqual(Int32Array.of(1, 1, 2, 2));
  });

  test('unlabelled token ids run on into windows', async () => {
    const path = await file(
      'ids.jsonl',
      Array.from({ length: 30 }, (_, i) => JSON.stringify({ tokens: [i, i, i] })).join('\n'),
    );
    const dataset = await openDataset(`jsonl:${path}`, { length: 4 });
    expect((await dataset.train.read([1])).tokens?.data).toEqual(Int32Array.of(1, 1, 2, 2));
    expect(dataset.targets).toEqual({ kind: 'next-token' });
  });

  test('arrays by input name are stacked; a tenth, drawn by the seed, tests', async () => {
    const record = (i: number) =>
      JSON.stringify({
        x: [
          [i, 0.5],
          [i, i],
        ],
        ids: [i, i],
        label: i % 3,
      });
    const path = await file('arrays.jsonl', Array.from({ length: 40 }, (_, i) => record(i)).join('\n'));
    const dataset = await openDataset(`jsonl:${path}`, { seed: 1 });
    expect(dataset.fields).toEqual([
      { name: 'x', dtype: 'float32', shape: [2, 2] },
      { name: 'ids', dtype: 'int32', shape: [2] },
    ]);
    expect([dataset.train.count, dataset.test.count]).toEqual([36, 4]);
    const ids = (await allOf(dataset, 'ids')).filter((_, place) => place % 2 === 0);
    expect(ids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(ids).not.toEqual(ids.toSorted((a, b) => a - b));
    const same = await allOf(await openDataset(`jsonl:${path}`, { seed: 1 }), 'ids');
    const other = await allOf(await openDataset(`jsonl:${path}`, { seed: 2 }), 'ids');
    expect(same.filter((_, place) => place % 2 === 0)).toEqual(ids);
    expect(other.filter((_, place) => place % 2 === 0)).not.toEqual(ids);
  });

  test.each([
    ['no JSON', '{"tokens": [1', /is not JSON/],
    ['ids that are words', '{"tokens": ["a"]}', /not a list of ids/],
    ['a ragged array', '{"x": [[1], [1, 2]]}', /x that is not an array of numbers/],
    ['a number that is none', '{"x": [null]}', /x that is not an array/],
    ['arrays among token ids', '{"x": [1]}', /holds arrays, the first does not/],
    ['a label where the others have none', '{"tokens": [1], "label": 1}', /has a label, the first has none/],
    [
      'a label that no class can have',
      '{"tokens": [1], "label": 2000000000}',
      /neither a name nor a whole number from 0 to/,
    ],
    ['nothing', '{}', /neither text nor tokens nor image nor arrays/],
  ])('%s is named with its line', async (name, line, message) => {
    const good = Array.from({ length: 60 }, () => '{"tokens": [1, 2, 3]}');
    const path = await file(`${name}.jsonl`, [...good.slice(0, 7), line, ...good].join('\n'));
    const notes: string[] = [];
    await openDataset(`jsonl:${path}`, { length: 4, maxBad: 0.02, note: (note) => notes.push(note) });
    expect(notes).toEqual([expect.stringMatching(message)]);
    expect(notes[0]).toContain(`${path}:8: `);
    await expect(openDataset(`jsonl:${path}`, { length: 4 })).rejects.toMatchObject({
      code: 'bad-data',
      details: { bad: 1, total: 68 },
    });
  });
});
