/** Every kind of `--data`, from files as people have them. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blocks, type Dataset, type Split } from './dataset.ts';
import { npyBytes } from './npy-file.fixture.ts';
import { openDataset } from './open-dataset.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'data-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(root, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
}

const everything = (split: Split) => Array.from({ length: split.count }, (_, i) => i);

async function allOf(dataset: Dataset, field: string): Promise<number[]> {
  const parts = [dataset.train, dataset.test].map((split) => split.read(everything(split)));
  return (await Promise.all(parts)).flatMap((read) => Array.from(read[field]?.data ?? [], Number));
}

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
    await expect(openDataset(`text:${join(root, 'none')}`, { tokenizer })).rejects.toThrow(/cannot be read/);
  });
});

/** A word-level tokenizer.json as Hugging Face's library writes it, with [CLS] and [SEP] around whole texts. */
function wordTokenizer(): Promise<string> {
  const special = (id: number, content: string) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  });
  return file(
    'tok/tokenizer.json',
    JSON.stringify({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [special(0, '[UNK]'), special(1, '[CLS]'), special(2, '[SEP]')],
      normalizer: { type: 'Lowercase' },
      pre_tokenizer: { type: 'Whitespace' },
      post_processor: {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: '[CLS]', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
          { SpecialToken: { id: '[SEP]', type_id: 0 } },
        ],
        pair: [],
        special_tokens: {
          '[CLS]': { id: '[CLS]', ids: [1], tokens: ['[CLS]'] },
          '[SEP]': { id: '[SEP]', ids: [2], tokens: ['[SEP]'] },
        },
      },
      decoder: null,
      model: {
        type: 'WordLevel',
        vocab: { '[UNK]': 0, '[CLS]': 1, '[SEP]': 2, to: 3, be: 4, or: 5, not: 6 },
        unk_token: '[UNK]',
      },
    }),
  );
}

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

describe('NumPy arrays', () => {
  const rows = (count: number, from = 0) =>
    Float32Array.from({ length: 2 * count }, (_, i) => from + Math.floor(i / 2));
  const npz = (count: number, from: number) =>
    zipSync({
      'x.npy': npyBytes('<f4', [count, 2], rows(count, from)),
      'labels.npy': npyBytes(
        '<i8',
        [count],
        BigInt64Array.from({ length: count }, (_, i) => BigInt(i % 2)),
      ),
    });

  test('one file is split by the seed, labels go with their rows', async () => {
    const dataset = await openDataset(`npz:${await file('one.npz', npz(30, 0))}`);
    expect([dataset.train.count, dataset.test.count]).toEqual([27, 3]);
    const { x } = await dataset.test.read([0, 1, 2]);
    const parities = [0, 2, 4].map((place) => Number(x?.data[place]) % 2);
    expect(Array.from(dataset.test.labels?.([0, 1, 2]) ?? [])).toEqual(parities);
  });

  test('train.npz and test.npz stay as they are', async () => {
    await file('two/train.npz', npz(4, 0));
    await file('two/test.npz', npz(2, 100));
    const dataset = await openDataset(`npz:${join(root, 'two')}`);
    expect(await allOf(dataset, 'x')).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 100, 100, 101, 101]);
  });

  test('a folder of NPY files', async () => {
    await file('npy/x.npy', npyBytes('<f4', [20, 2], rows(20)));
    const dataset = await openDataset(`npy:${join(root, 'npy')}`);
    expect(dataset.targets).toBeUndefined();
    expect(dataset.train.count).toBe(18);
  });

  test('examples with values that are not finite are bad records, by array and place', async () => {
    const holed = rows(40).map((value, i) => (i === 9 ? Number.NaN : value));
    await file('holed/x.npy', npyBytes('<f4', [40, 2], holed));
    const notes: string[] = [];
    const spec = `npy:${join(root, 'holed')}`;
    const dataset = await openDataset(spec, { maxBad: 0.05, note: (note) => notes.push(note) });
    expect(dataset.train.count + dataset.test.count).toBe(39);
    expect(notes).toEqual([expect.stringMatching(/1 of 40 records are bad: .*x\[4\]: holds NaN/)]);
    expect(await allOf(dataset, 'x')).not.toContain(4);
    await expect(openDataset(spec)).rejects.toMatchObject({ code: 'bad-data' });
  });

  test('compressed files are read too', async () => {
    const zipped = zipSync({ 'x.npy': [npyBytes('<f4', [20, 2], rows(20)), { level: 9 }] });
    const stored = zipSync({ 'x.npy': [npyBytes('<f4', [20, 2], rows(20)), { level: 0 }] });
    const [one, other] = [await file('deflated.npz', zipped), await file('stored.npz', stored)];
    expect(await allOf(await openDataset(`npz:${one}`), 'x')).toEqual(
      await allOf(await openDataset(`npz:${other}`), 'x'),
    );
  });

  test('arrays of unequal length, a damaged zip, an empty one', async () => {
    const uneven = zipSync({
      'x.npy': npyBytes('<f4', [2, 1], rows(1)),
      'y2.npy': npyBytes('<f4', [1], Float32Array.of(1)),
    });
    await expect(openDataset(`npz:${await file('uneven.npz', uneven)}`)).rejects.toThrow(
      /y2 has 1 examples, but x has 2/,
    );
    const cut = npz(30, 0).subarray(0, 100);
    await expect(openDataset(`npz:${await file('cut.npz', cut)}`)).rejects.toThrow(/not a whole NPZ/);
    await expect(openDataset(`npz:${await file('empty.npz', zipSync({}))}`)).rejects.toThrow(/no arrays/);
  });
});

describe('image folders', () => {
  const image = { channels: 3, height: 4, width: 6 } as const;
  const identity = { scale: 1, mean: [0, 0, 0], std: [1, 1, 1] };

  /** A plain colour, as PNG, so that nothing is lost. */
  async function plain(name: string, colour: [number, number, number], width = 6, height = 4): Promise<void> {
    const [r, g, b] = colour;
    const png = sharp({ create: { width, height, channels: 3, background: { r, g, b } } }).png();
    await file(name, await png.toBuffer());
  }

  test('classes are folders in alphabetical order; pixels become [channels, height, width]', async () => {
    for (const split of ['train', 'test']) {
      await plain(`pets/${split}/dog/a.png`, [10, 20, 30]);
      await plain(`pets/${split}/cat/b.png`, [200, 100, 50]);
    }
    const dataset = await openDataset(`images:${join(root, 'pets')}`, { image, normalisation: identity });
    expect(dataset.targets).toEqual({ kind: 'class', names: ['cat', 'dog'] });
    const labels = Array.from(dataset.test.labels?.([0, 1]) ?? []);
    expect(labels.toSorted()).toEqual([0, 1]);
    const { image: pixels } = await dataset.test.read([labels.indexOf(1)]);
    expect(pixels?.dims).toEqual([1, 3, 4, 6]);
    expect(Array.from(pixels?.data ?? [], Number)).toEqual(
      [10, 20, 30].flatMap((value) => Array(24).fill(value)),
    );
  });

  test('normalises channel by channel', async () => {
    const normalisation = { scale: 1 / 255, mean: [0.5, 0.25, 0], std: [0.5, 0.25, 1] };
    const dataset = await openDataset(`images:${join(root, 'pets')}`, { image, normalisation });
    const cat = Array.from(dataset.train.labels?.([0, 1]) ?? []).indexOf(0);
    const data = (await dataset.train.read([cat])).image?.data ?? [];
    const values = [data[0], data[24], data[48]].map(Number);
    const expected = [(200 / 255 - 0.5) / 0.5, (100 / 255 - 0.25) / 0.25, 50 / 255];
    for (const [channel, value] of values.entries())
      expect(value).toBeCloseTo(expected[channel] as number, 5);
  });

  test('the middle of the right proportions is kept, resized to the model', async () => {
    // Left and right thirds black, the middle white: a square target of the middle is all white.
    const width = 12;
    const raw = Buffer.from(
      Array.from({ length: width * 4 }, (_, i) => (i % width >= 4 && i % width < 8 ? 255 : 0)),
    );
    for (const name of ['a', 'b']) {
      const png = sharp(raw, { raw: { width, height: 4, channels: 1 } }).png();
      await file(`stripes/${name}.png`, await png.toBuffer());
    }
    const square = { channels: 1, height: 4, width: 4 } as const;
    const one = { scale: 1, mean: [0], std: [1] };
    const dataset = await openDataset(`images:${join(root, 'stripes')}`, {
      image: square,
      normalisation: one,
    });
    expect(dataset.targets).toBeUndefined();
    expect(await allOf(dataset, 'image')).toEqual(Array(32).fill(255));
    const half = { ...square, height: 2, width: 2 };
    const small = await openDataset(`images:${join(root, 'stripes')}`, {
      image: half,
      normalisation: one,
      crop: 0.5,
    });
    expect(await allOf(small, 'image')).toEqual(Array(8).fill(255));
  });

  test('images that cannot be decoded are named; too many end the run', async () => {
    for (let i = 0; i < 24; i++) await plain(`some/a/${i}.png`, [i, i, i]);
    const noise = Buffer.from(Array.from({ length: 3 * 64 * 64 }, (_, i) => (i * 7919) % 251));
    const jpeg = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
      .jpeg()
      .toBuffer();
    await file('some/a/cut.jpg', jpeg.subarray(0, jpeg.length / 2));
    const notes: string[] = [];
    const settings = { image, note: (note: string) => notes.push(note) };
    const dataset = await openDataset(`images:${join(root, 'some')}`, { ...settings, maxBad: 0.05 });
    expect(dataset.train.count + dataset.test.count).toBe(24);
    expect(notes).toEqual([expect.stringMatching(/1 of 25 records are bad: .*some\/a\/cut\.jpg/)]);
    await expect(openDataset(`images:${join(root, 'some')}`, settings)).rejects.toMatchObject({
      code: 'bad-data',
    });
  });

  test('images beside their texts, in JSON Lines', async () => {
    for (let i = 0; i < 20; i++) await plain(`pairs/${i}.png`, [10 * i, 0, 0]);
    const record = (i: number) => JSON.stringify({ image: `${i}.png`, tokens: [i + 1, 1] });
    const lines = Array.from({ length: 20 }, (_, i) => record(i));
    lines.splice(3, 0, JSON.stringify({ image: 'none.png', tokens: [99] }), JSON.stringify({ tokens: [98] }));
    const path = await file('pairs/pairs.jsonl', lines.join('\n'));
    const notes: string[] = [];
    const dataset = await openDataset(`jsonl:${path}`, {
      image,
      normalisation: identity,
      length: 2,
      maxBad: 0.1,
      note: (note) => notes.push(note),
    });
    expect(notes).toEqual([
      expect.stringMatching(/2 of 22 .*pairs\.jsonl:5: has no image.*pairs\.jsonl:4: none\.png: /),
    ]);
    expect(dataset.targets).toBeUndefined();
    expect(dataset.fields.map(({ role }) => role)).toEqual(['tokens', 'image']);
    const { tokens, image: pixels } = await dataset.train.read(everything(dataset.train));
    for (let row = 0; row < dataset.train.count; row++)
      expect(pixels?.data[row * 72]).toBe(10 * (Number(tokens?.data[2 * row]) - 1));
    const some = await openDataset(`jsonl:${path}`, {
      image,
      length: 2,
      maxBad: 0.5,
      most: { train: 3, test: 2 },
    });
    expect(some.train.count + some.test.count).toBeLessThan(20);
  });

  test('only as many as are needed are decoded, another draw with another seed', async () => {
    const draw = async (seed: number) => {
      const most = { train: 5, test: 1 };
      const dataset = await openDataset(`images:${join(root, 'some')}`, {
        image,
        normalisation: identity,
        seed,
        most,
        maxBad: 1,
      });
      expect([dataset.train.count, dataset.test.count]).toEqual([5, 1]);
      return allOf(dataset, 'image');
    };
    expect(await draw(3)).toEqual(await draw(3));
    expect(await draw(3)).not.toEqual(await draw(4));
  });

  test('a model that does not say its size, a class that only tests, mean of other channels', async () => {
    await plain('odd/train/a/0.png', [0, 0, 0]);
    await plain('odd/test/b/0.png', [0, 0, 0]);
    await expect(openDataset(`images:${join(root, 'odd')}`)).rejects.toThrow(/how large/);
    await expect(openDataset(`images:${join(root, 'odd')}`, { image })).rejects.toThrow(
      /class b, which has no training/,
    );
    const grey = { scale: 1, mean: [0], std: [1] };
    await expect(openDataset(`images:${join(root, 'odd')}`, { image, normalisation: grey })).rejects.toThrow(
      /3 channels/,
    );
  });
});

test.each(['imagenet', 'npz', 'mnist:x', 'constructor:x', 'text:'])(
  '%s is not a source, and all of them are listed',
  async (spec) => {
    await expect(openDataset(spec)).rejects.toMatchObject({
      code: 'bad-data',
      hint: expect.stringMatching(/mnist.*idx:.*images:.*text:.*jsonl:.*npz:.*npy:/),
    });
  },
);
