import { expect, test } from 'vitest';
import type { ValueInfo } from '../graph/graph.ts';
import type { Field } from './dataset.ts';
import { tokenMasks } from './token-masks.ts';

function fed(name: string, shape: readonly number[], role?: Field['role']) {
  const input: ValueInfo = { name, dtype: 'int64', dims: ['batch', ...shape.map((_, i) => `${name}${i}`)] };
  return { input, field: { name, dtype: 'int64', shape, ...(role === undefined ? {} : { role }) } as const };
}

test('a mask belongs to the tokens beside it, and to nothing that is as long as it by chance', () => {
  const text = [fed('input_ids', [5]), fed('attention_mask', [5]), fed('pixel_values', [3, 5, 5])];
  expect(tokenMasks(text)).toEqual([{ input: 'attention_mask', tokens: 5, of: ['input_ids'], before: [] }]);
  const filled = [fed('text', [5], 'tokens'), fed('mask', [5], 'mask')];
  expect(tokenMasks(filled)).toMatchObject([{ input: 'mask', of: ['text'] }]);
});

test('an encoder and a decoder have a mask each, and what reads both is the decoder', () => {
  const read = [fed('input_ids', [5]), fed('attention_mask', [5])];
  const written = [fed('decoder_input_ids', [5]), fed('decoder_attention_mask', [5])];
  expect(tokenMasks([...read, ...written])).toEqual([
    { input: 'attention_mask', tokens: 5, of: ['input_ids'], before: ['decoder_input_ids'] },
    { input: 'decoder_attention_mask', tokens: 5, of: ['decoder_input_ids'], before: [] },
  ]);
  const states = [fed('encoder_hidden_states', [5, 8]), fed('encoder_attention_mask', [5])];
  expect(tokenMasks([fed('input_ids', [5]), ...states])).toEqual([
    {
      input: 'encoder_attention_mask',
      tokens: 5,
      of: ['encoder_hidden_states'],
      before: ['input_ids'],
    },
  ]);
});

test('without a mask of tokens nothing is known of padding', () => {
  expect(tokenMasks([fed('input_ids', [5]), fed('pixel_mask', [5, 5])])).toEqual([]);
  expect(tokenMasks([fed('input_ids', [5]), fed('attention_mask', [5, 5])])).toEqual([]);
});
