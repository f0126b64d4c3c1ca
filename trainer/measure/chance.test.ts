import { expect, test } from 'vitest';
import { chanceText } from './chance.ts';

const targets = { kind: 'class', names: ['cat', 'dog'] } as const;

test('a dense model that is right no more often than chance is told with the order of classes', () => {
  const said = chanceText({ metric: 'accuracy', value: 0.5 }, targets, 'logits');
  expect(said).toMatch(/50\.0 %.*2 classes.*cat.*logits.*--task distil/);
});

test('any model that knows something, and what is measured without labels, is left alone', () => {
  expect(chanceText({ metric: 'accuracy', value: 0.51 }, targets, 'logits')).toBeUndefined();
  expect(chanceText({ metric: 'agreement', value: 0 }, targets, 'logits')).toBeUndefined();
  expect(chanceText({ metric: 'accuracy', value: 0 }, undefined, 'logits')).toBeUndefined();
});
