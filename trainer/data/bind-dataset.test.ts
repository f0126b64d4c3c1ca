import { describe, expect, test } from 'vitest';
import type { Dtype, Tensor, ValueInfo } from '../graph/graph.ts';
import { bindDataset } from './bind-dataset.ts';
import type { Dataset, Field } from './dataset.ts';

const input = (name: string, dtype: Dtype, ...dims: (number | string)[]): ValueInfo => ({
  name,
  dtype,
  dims,
});

/** Every field of example i is filled with i. */
function dataOf(...fields: Field[]): Dataset {
  const read = async (indices: readonly number[]) =>
    Object.fromEntries(
      fields.map(({ name, dtype, shape }) => {
        const size = shape.reduce((a, b) => a * b, 1);
        const values = indices.flatMap((index) => Array<number>(size).fill(index));
        const data = dtype === 'float32' ? Float32Array.from(values) : Int32Array.from(values);
        return [name, { dtype, dims: [indices.length, ...shape], data } satisfies Tensor];
      }),
    );
  const split = { count: 4, read };
  return { name: 'the data', fields, train: split, test: split, sha256: '', recipe: {} };
}

const image: Field = { name: 'image', role: 'image', dtype: 'float32', shape: [3, 2, 2] };
const tokens: Field = { name: 'tokens', role: 'tokens', dtype: 'int32', shape: [3] };
const mask: Field = { name: 'mask', role: 'mask', dtype: 'int32', shape: [3] };
const ids = input('input_ids', 'int64', 'batch', 'sequence');
const pixels = input('pixel_values', 'float32', 'batch', 3, 2, 2);

describe('inputs are fed by role or name', () => {
  test('an image goes to the float input of rank 4', async () => {
    const bound = bindDataset(dataOf(image), [pixels]);
    expect(bound.imageInput).toBe('pixel_values');
    expect((await bound.test.feeds([2])).pixel_values).toMatchObject({ dims: [1, 3, 2, 2] });
  });

  test('tokens become int64 ids; mask, types and positions are filled in', async () => {
    const bound = bindDataset(dataOf(tokens), [
      input('attention_mask', 'float32', 'batch', 'sequence'),
      ids,
      input('token_type_ids', 'int64', 'batch', 'sequence'),
      input('position_ids', 'int64', 'batch', 'sequence'),
    ]);
    expect(await bound.train.feeds([1, 2])).toEqual({
      attention_mask: { dtype: 'float32', dims: [2, 3], data: new Float32Array(6).fill(1) },
      input_ids: { dtype: 'int64', dims: [2, 3], data: BigInt64Array.of(1n, 1n, 1n, 2n, 2n, 2n) },
      token_type_ids: { dtype: 'int64', dims: [2, 3], data: new BigInt64Array(6) },
      position_ids: { dtype: 'int64', dims: [2, 3], data: BigInt64Array.of(0n, 1n, 2n, 0n, 1n, 2n) },
    });
    expect(bound.length).toBe(3);
  });

  test('arrays named as masks of tokens say what is padding, behind a decoder those of its own text alone', () => {
    const row = (name: string, size: number): Field => ({ name, dtype: 'int64', shape: [size] });
    const own = [ids, input('attention_mask', 'int64', 'batch', 'sequence')];
    const bound = bindDataset(dataOf(row('attention_mask', 3), row('input_ids', 3)), own);
    expect([bound.maskInput, bound.maskTokens, bound.tokensInput]).toEqual([
      'attention_mask',
      3,
      'input_ids',
    ]);

    const text = input('decoder_input_ids', 'int64', 'batch', 'written');
    const read = [row('input_ids', 3), row('attention_mask', 3), row('decoder_input_ids', 3)];
    expect(bindDataset(dataOf(...read), [...own, text]).maskInput).toBeUndefined();
    const both = bindDataset(dataOf(...read, row('decoder_attention_mask', 3)), [
      ...own,
      text,
      input('decoder_attention_mask', 'int64', 'batch', 'written'),
    ]);
    expect(both.maskInput).toBe('decoder_attention_mask');
  });

  test('a mask of pixels is as large as the image; positions may be one row for all examples', async () => {
    const bound = bindDataset(dataOf(tokens, image), [
      pixels,
      ids,
      input('pixel_mask', 'int64', 'batch', 2, 2),
      input('position_ids', 'int64', 1, 'sequence'),
    ]);
    const feeds = await bound.train.feeds([0, 1]);
    expect(feeds.pixel_mask).toEqual({
      dtype: 'int64',
      dims: [2, 2, 2],
      data: new BigInt64Array(8).fill(1n),
    });
    expect(feeds.position_ids).toEqual({ dtype: 'int64', dims: [1, 3], data: BigInt64Array.of(0n, 1n, 2n) });
  });

  test('arrays by name need no role, and stand beside masks that are filled in', async () => {
    const field: Field = { name: 'input_ids', dtype: 'int32', shape: [3] };
    const bound = bindDataset(dataOf(field), [ids, input('attention_mask', 'int64', 'batch', 'sequence')]);
    expect(Object.keys(await bound.train.feeds([0]))).toEqual(['input_ids', 'attention_mask']);
  });
});

describe('what does not fit is named', () => {
  test.each([
    [
      'another shape',
      dataOf(image),
      [input('x', 'float32', 'n', 3, 4, 4)],
      /\[3, 2, 2\].* x wants \[3, 4, 4\]/,
    ],
    ['floats for ids', dataOf({ ...image, name: 'ids', shape: [3] }), [ids], /input_ids .*not fed|holds ids/],
    ['an input that nothing feeds', dataOf(tokens), [ids, pixels], /pixel_values.* is not fed/],
    ['padding without a mask', dataOf(tokens, mask), [ids], /mask \[3\], which none/],
    [
      'an array that nothing takes',
      dataOf(tokens, { ...image, name: 'extra', shape: [1] } as Field),
      [ids],
      /extra/,
    ],
    ['a fixed batch', dataOf(tokens), [input('input_ids', 'int64', 1, 'sequence')], /no free batch/],
    [
      'lengths that differ under one name',
      dataOf({ name: 'a', dtype: 'float32', shape: [3] }, { name: 'b', dtype: 'float32', shape: [4] }),
      [input('a', 'float32', 'n', 's'), input('b', 'float32', 'n', 's')],
      /wants \[s\] with s = 3/,
    ],
  ])('%s', (_, data, inputs, message) => {
    expect(() => bindDataset(data, inputs)).toThrow(message);
  });

  test.each([
    ['a cache', [ids, input('past_key_values.0.key', 'float32', 'batch', 4, 'past', 8)], /without one/],
    ['patches to guess', [ids, input('bool_masked_pos', 'bool', 'batch', 'sequence')], /text:FILE/],
    ['a second text', [ids, input('decoder_input_ids', 'int64', 'batch', 'target')], /decoder's text/],
    ['an image', [ids, pixels], /jsonl:FILE .*image file and a text/],
  ])('what to give instead is said of %s', (_, inputs, hint) => {
    expect(() => bindDataset(dataOf(tokens), inputs)).toThrow(
      expect.objectContaining({ code: 'bad-data', hint: expect.stringMatching(hint) }),
    );
  });

  test('a value that the input cannot hold', async () => {
    const bound = bindDataset(dataOf({ name: 'flags', dtype: 'int32', shape: [1] }), [
      input('flags', 'bool', 'n', 1),
    ]);
    await expect(bound.train.feeds([3])).rejects.toMatchObject({
      code: 'bad-data',
      message: 'flags has the value 3, which no bool holds.',
    });
  });
});
