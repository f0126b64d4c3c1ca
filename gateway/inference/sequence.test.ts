import { expect, test } from 'vitest';
import type { CatalogVersion } from '../storage/catalog.ts';
import { lengthIn } from './sequence.ts';

const versionOf = (inputs: CatalogVersion['inputs']) => ({ inputs }) as CatalogVersion;

test('a sequence is as long as its second dimension, as nodes put lengths together', () => {
  const tokens = versionOf([{ name: 'input_ids', datatype: 'INT64', shape: [-1, -1] }]);
  const lengths = [[1, 1], [4, 100], [1, 128], [1, 0], [1]].map((shape) =>
    lengthIn(tokens, { name: 'input_ids', shape }),
  );
  expect(lengths).toEqual([1, 128, 128, 0, 0]);
});

test('what is no sequence has no length', () => {
  const image = versionOf([{ name: 'pixel_values', datatype: 'FP32', shape: [-1, 3, 224, 224] }]);
  expect(lengthIn(image, { name: 'pixel_values', shape: [1, 3, 224, 224] })).toBe(0);
  const tokens = versionOf([{ name: 'input_ids', datatype: 'INT64', shape: [-1, -1] }]);
  expect(lengthIn(tokens, { name: 'other', shape: [1, 100] })).toBe(0);
});
