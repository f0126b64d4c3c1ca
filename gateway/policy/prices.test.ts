import { expect, test } from 'vitest';
import { priceSchema } from '../../schema/policy.ts';
import { priceList } from './prices.ts';

test('the first price that matches node class, model and level counts; without one a request is free', () => {
  const prices = [
    { nodeClass: 'gpu', level: 3, fixedNanoUsd: 1 },
    { nodeClass: 'gpu', fixedNanoUsd: 2 },
    { model: 'other', fixedNanoUsd: 3 },
    { level: 3, fixedNanoUsd: 4 },
  ].map((price) => priceSchema.parse(price));
  const fixed = (model: string, nodeClass: string, level: number) =>
    priceList(prices, model)(nodeClass, level).fixedNanoUsd;
  expect(fixed('m', 'gpu', 3)).toBe(1);
  expect(fixed('m', 'gpu', 2)).toBe(2);
  expect(fixed('other', 'cpu', 3)).toBe(3);
  expect(fixed('m', 'cpu', 3)).toBe(4);
  expect(fixed('m', 'cpu', 2)).toBe(0);
});
