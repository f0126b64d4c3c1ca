import { describe, expect, test } from 'vitest';
import { chooseTask, type OutputShape, type TaskRequest } from './task.ts';

const classes = { kind: 'class', names: ['a', 'b'] } as const;
const tokens = { kind: 'next-token' } as const;
const logits = { name: 'logits', shape: [2] };
const tokenLogits = { name: 'logits', shape: [8, 50] };
const hidden = { name: 'last_hidden_state', shape: [8, 16] };
const pooled = { name: 'pooler_output', shape: [16] };
const image = { name: 'image_embeds', shape: [24] };
const text = { name: 'text_embeds', shape: [24] };

describe('the task follows from labels and outputs', () => {
  test.each([
    ['labelled images', [logits], classes, {}, 'classification', ['logits']],
    ['text and token scores', [tokenLogits], tokens, {}, 'next-token', ['logits']],
    ['scores without labels', [logits], undefined, {}, 'distil', ['logits']],
    ['token scores without labels', [tokenLogits], undefined, {}, 'distil', ['logits']],
    [
      'text for a model that sees all of it',
      [{ ...tokenLogits, causal: false }],
      tokens,
      {},
      'distil',
      ['logits'],
    ],
    ['text for a classifier', [logits], tokens, {}, 'distil', ['logits']],
    ['an encoder', [hidden, pooled], undefined, {}, 'embedding', ['pooler_output']],
    ['an encoder without a pooled output', [hidden], undefined, {}, 'embedding', ['last_hidden_state']],
    ['two towers', [image, text], undefined, {}, 'contrastive', ['image_embeds', 'text_embeds']],
    ['an asked-for task', [logits], classes, { task: 'distil' }, 'distil', ['logits']],
    [
      'a named output',
      [hidden, pooled],
      undefined,
      { outputs: ['last_hidden_state'] },
      'embedding',
      ['last_hidden_state'],
    ],
    [
      'several named outputs of different rank',
      [hidden, pooled],
      undefined,
      { outputs: ['last_hidden_state', 'pooler_output'] },
      'distil',
      ['last_hidden_state', 'pooler_output'],
    ],
    [
      'one tower of two',
      [image, text],
      undefined,
      { outputs: ['text_embeds'] },
      'embedding',
      ['text_embeds'],
    ],
  ] as const)('%s', (_, outputs, targets, request, task, chosen) => {
    expect(
      chooseTask(outputs as readonly OutputShape[], { targets, length: 8 }, request as TaskRequest),
    ).toEqual({
      name: task,
      outputs: chosen,
    });
  });

  test.each([
    ['classification without labels', [logits], undefined, { task: 'classification' }, /wants class labels/],
    [
      'next-token for a model that sees all of it',
      [{ ...tokenLogits, causal: false }],
      tokens,
      { task: 'next-token' },
      /sees no later tokens/,
    ],
    ['next-token on images', [logits], classes, { task: 'next-token' }, /wants text/],
    ['an output that is not there', [logits], classes, { outputs: ['scores'] }, /no usable output scores/],
    ['no output at all', [], classes, {}, /no float output/],
  ] as const)('refuses %s', (_, outputs, targets, request, message) => {
    expect(() =>
      chooseTask(
        outputs as readonly OutputShape[],
        { targets, length: 8 },
        request as unknown as TaskRequest,
      ),
    ).toThrow(message);
  });
});
