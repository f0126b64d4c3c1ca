/** `--data images:`, and images beside texts. */
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { openDataset } from './open-dataset.ts';
import { allOf, everything, file, pathOf, withFolder } from './source-files.fixture.ts';

withFolder();

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
    const dataset = await openDataset(`images:${pathOf('pets')}`, { image, normalisation: identity });
    expect(dataset.targets).toEqual({ kind: 'class', names: ['cat', 'dog'] });
    const labels = Array.from(dataset.test.labels?.([0, 1]) ?? []);
    expect(labels.toSorted()).toEqual([0, 1]);
    const { image: pixels } = await dataset.test.read([labels.indexOf(1)]);
    expect(pixels?.dims).toEqual([1, 3, 4, 6]);
    expect(Array.from(pixels?.data ?? [], Number)).toEqual(
      [10, 20, 30].flatMap((value) => Array(24).fill(value)),
    );
  });

  test('a class folder without images is named, as labels are places among the folders; leftovers are none', async () => {
    for (const [i, name] of ['ant/a', 'bee/in/deep', 'cow/c', 'cow/d'].entries())
      await plain(`farm/${name}.png`, [i, 0, 0]);
    const open = () => openDataset(`images:${pathOf('farm')}`, { image, normalisation: identity });
    await expect(open()).rejects.toThrow(/bee holds no images/);
    for (const name of ['b', 'e', 'f']) await plain(`farm/bee/${name}.png`, [9, 0, 0]);
    for (const name of ['g', 'h']) await plain(`farm/ant/${name}.png`, [7, 0, 0]);
    await file('farm/.cache/x.bin', Buffer.from('x'));
    expect((await open()).targets).toEqual({ kind: 'class', names: ['ant', 'bee', 'cow'] });
  });

  test('normalises channel by channel', async () => {
    const normalisation = { scale: 1 / 255, mean: [0.5, 0.25, 0], std: [0.5, 0.25, 1] };
    const dataset = await openDataset(`images:${pathOf('pets')}`, { image, normalisation });
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
    const dataset = await openDataset(`images:${pathOf('stripes')}`, {
      image: square,
      normalisation: one,
    });
    expect(dataset.targets).toBeUndefined();
    expect(await allOf(dataset, 'image')).toEqual(Array(32).fill(255));
    const half = { ...square, height: 2, width: 2 };
    const small = await openDataset(`images:${pathOf('stripes')}`, {
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
    const dataset = await openDataset(`images:${pathOf('some')}`, { ...settings, maxBad: 0.05 });
    expect(dataset.train.count + dataset.test.count).toBe(24);
    expect(notes).toEqual([expect.stringMatching(/1 of 25 records are bad: .*some\/a\/cut\.jpg/)]);
    await expect(openDataset(`images:${pathOf('some')}`, settings)).rejects.toMatchObject({
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
      const dataset = await openDataset(`images:${pathOf('some')}`, {
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
    await expect(openDataset(`images:${pathOf('odd')}`)).rejects.toThrow(/how large/);
    await expect(openDataset(`images:${pathOf('odd')}`, { image })).rejects.toThrow(
      /class b, which has no training/,
    );
    const grey = { scale: 1, mean: [0], std: [1] };
    await expect(openDataset(`images:${pathOf('odd')}`, { image, normalisation: grey })).rejects.toThrow(
      /3 channels/,
    );
  });
});
