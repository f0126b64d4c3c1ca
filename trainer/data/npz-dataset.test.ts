/** `--data npz:` and `npy:`. */
import { zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { npyBytes } from './npy-file.fixture.ts';
import { openDataset } from './open-dataset.ts';
import { allOf, file, pathOf, withFolder } from './source-files.fixture.ts';

withFolder();

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
    const dataset = await openDataset(`npz:${pathOf('two')}`);
    expect(await allOf(dataset, 'x')).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 100, 100, 101, 101]);
  });

  test('a folder of NPY files', async () => {
    await file('npy/x.npy', npyBytes('<f4', [20, 2], rows(20)));
    const dataset = await openDataset(`npy:${pathOf('npy')}`);
    expect(dataset.targets).toBeUndefined();
    expect(dataset.train.count).toBe(18);
  });

  test('examples with values that are not finite are bad records, by array and place', async () => {
    const holed = rows(40).map((value, i) => (i === 9 ? Number.NaN : value));
    await file('holed/x.npy', npyBytes('<f4', [40, 2], holed));
    const notes: string[] = [];
    const spec = `npy:${pathOf('holed')}`;
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

  test('an array of which some bytes have changed is named, though the zip is whole', async () => {
    const whole = zipSync({ 'x.npy': [npyBytes('<f4', [20, 2], rows(20)), { level: 0 }] });
    const changed = whole.slice();
    const middle = Math.floor(whole.length / 2);
    changed[middle] = (whole[middle] ?? 0) ^ 1;
    await expect(openDataset(`npz:${await file('changed.npz', changed)}`)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringMatching(/x\.npy is damaged/),
    });
  });

  test('labels in a column are classes; those that no class can have, or that say nothing, are named', async () => {
    const labelled = async (values: number[], dims = [values.length]) => {
      const labels = npyBytes('<i4', dims, Int32Array.from(values));
      const x = npyBytes('<f4', [dims[0] ?? 0, 2], rows(dims[0] ?? 0));
      return openDataset(`npz:${await file('labelled.npz', zipSync({ 'x.npy': x, 'labels.npy': labels }))}`);
    };
    const column = await labelled([2, 0, -100, 1], [4, 1]);
    expect(column.targets).toEqual({ kind: 'class', names: ['0', '1', '2'] });
    const all = [...(column.train.labels?.([0, 1, 2]) ?? []), ...(column.test.labels?.([0]) ?? [])];
    expect(all.toSorted((a, b) => a - b)).toEqual([-1, 0, 1, 2]);
    expect((await labelled([2, 0, -100, 1], [2, 2])).targets).toEqual({ kind: 'next-token', rows: 2 });
    const floats = async (values: number[]) => {
      const x = npyBytes('<f4', [values.length, 2], rows(values.length));
      const labels = npyBytes('<f4', [values.length], Float32Array.from(values));
      return openDataset(`npz:${await file('floats.npz', zipSync({ 'x.npy': x, 'labels.npy': labels }))}`);
    };
    expect((await floats([0, 1, 1])).targets).toEqual({ kind: 'class', names: ['0', '1'] });
    await expect(floats([0, 0.5, 1])).rejects.toThrow(/labels are float32/);
    await expect(floats([0, Number.NaN, 1])).rejects.toThrow(/labels are float32/);
    expect((await labelled([1, 0, 0, 1], [2, 2])).targets).toEqual({
      kind: 'next-token',
      rows: 2,
      binary: true,
    });
    await expect(labelled([1, 1, -1, 1])).rejects.toThrow(/the label at 2 is -1/);
    await expect(labelled([1, 2_000_000_000])).rejects.toThrow(/the label at 1 is 2000000000/);
    await expect(labelled([-100, -100])).rejects.toThrow(/no label counts/);
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
