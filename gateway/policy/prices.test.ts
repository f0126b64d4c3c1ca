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

test('a price is looked for once for a class and a level, as requests ask for it again and again', () => {
  let looks = 0;
  const price = priceSchema.parse({ fixedNanoUsd: 7 });
  const counted = {
    ...price,
    get level() {
      looks++;
      return price.level;
    },
  };
  const priceOf = priceList([counted], 'm');
  for (let i = 0; i < 100; i++)
    for (const level of [0, 1, 2]) expect(priceOf('gpu', level).fixedNanoUsd).toBe(7);
  expect(looks).toBe(3);
});
