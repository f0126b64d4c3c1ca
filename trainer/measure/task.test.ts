import { describe, expect, test } from 'vitest';
import { chooseTask, labelled, type OutputShape, type TaskRequest } from './task.ts';

const classes = { kind: 'class', names: ['a', 'b'] } as const;
const tokens = { kind: 'next-token' } as const;
const logits = { name: 'logits', shape: [2] };
const tokenLogits = { name: 'logits', shape: [8, 50] };
const hidden = { name: 'last_hidden_state', shape: [8, 16] };
const pooled = { name: 'pooler_output', shape: [16] };
const image = { name: 'image_embeds', shape: [24] };
const chances = { name: 'output', shape: [2], chances: true };
const features = { name: 'features', shape: [16] };
const number = { name: 'age', shape: [1] };
const tags = { name: 'probabilities', shape: [3], shares: true };
const pixels = { name: 'logits', shape: [5, 8, 8] };
const text = { name: 'text_embeds', shape: [24] };

test('as many yes and no as an output has columns are labels of its columns', () => {
  const binary = { kind: 'next-token', rows: 2, binary: true } as const;
  const [own, others] = labelled([logits, tokenLogits], binary);
  expect([own?.apart, others?.apart]).toEqual([true, undefined]);
  expect(labelled([logits], { ...binary, rows: 3 })[0]?.apart).toBeUndefined();
  expect(labelled([logits], { kind: 'next-token', rows: 2 })[0]?.apart).toBeUndefined();
  expect(chooseTask([own!], { targets: binary, length: 1 })).toEqual({ name: 'distil', outputs: ['logits'] });
});

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
    [
      'a label for each token, of a model that sees all of them',
      [{ ...tokenLogits, causal: false }],
      { kind: 'next-token', rows: 8 },
      {},
      'next-token',
      ['logits'],
    ],
    [
      'labels of the text that is written, of another length than the one that is read',
      [{ name: 'logits', shape: [5, 50] }],
      { kind: 'next-token', rows: 5 },
      {},
      'next-token',
      ['logits'],
    ],
    ['text for a classifier', [logits], tokens, {}, 'distil', ['logits']],
    ['an encoder', [hidden, pooled], undefined, {}, 'embedding', ['pooler_output']],
    ['an encoder without a pooled output', [hidden], undefined, {}, 'embedding', ['last_hidden_state']],
    ['probabilities without labels', [features, chances], undefined, {}, 'distil', ['output']],
    ['labels, features and probabilities', [features, chances], classes, {}, 'classification', ['output']],
    [
      'labels, features and as many columns',
      [features, { name: 'y', shape: [2] }],
      classes,
      {},
      'classification',
      ['y'],
    ],
    ['two classes and one score', [number], classes, {}, 'classification', ['age']],
    [
      'one number and more classes',
      [number],
      { kind: 'class', names: ['1', '2', '3'] },
      {},
      'distil',
      ['age'],
    ],
    ['probabilities that are no choice of one', [tags], undefined, {}, 'distil', ['probabilities']],
    [
      'class labels and a probability of each',
      [tags],
      { kind: 'class', names: ['a', 'b', 'c'] },
      {},
      'classification',
      ['probabilities'],
    ],
    [
      'an embedding within 0 and 1',
      [{ ...tags, name: 'embedding' }],
      undefined,
      {},
      'embedding',
      ['embedding'],
    ],
    ['one number', [number], undefined, {}, 'distil', ['age']],
    ['one number called a score', [{ ...number, name: 'logits' }], undefined, {}, 'distil', ['logits']],
    ['several numbers', [number, { ...number, name: 'height' }], undefined, {}, 'distil', ['age', 'height']],
    ['an embedding beside a number', [number, pooled], undefined, {}, 'embedding', ['pooler_output']],
    ['scores a pixel, with classes in front', [pixels], undefined, {}, 'distil', ['logits']],
    ['the direction of a map', [pixels], undefined, { task: 'embedding' }, 'embedding', ['logits']],
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
    ['one output named twice', [logits], undefined, { outputs: ['logits', 'logits'] }, 'distil', ['logits']],
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
    ['the direction of a number', [number], undefined, { task: 'embedding' }, /more than one number/],
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
