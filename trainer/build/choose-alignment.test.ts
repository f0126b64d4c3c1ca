import { expect, test } from 'vitest';
import { alignmentText, chosenMultiple } from './choose-alignment.ts';

test('a multiple is taken only for what is more than noise', () => {
  const any = { multiple: 1, relative: 1 };
  expect(chosenMultiple([any, { multiple: 8, relative: 0.98 }])).toBe(1);
  expect(chosenMultiple([any, { multiple: 8, relative: 0.8 }, { multiple: 16, relative: 0.82 }])).toBe(8);
  expect(chosenMultiple([any, { multiple: 8, relative: 0.8 }, { multiple: 4, relative: 0.8 }])).toBe(4);
  expect(chosenMultiple([])).toBe(1);
});

test('the run says what each was worth', () => {
  expect(
    alignmentText([
      { multiple: 1, relative: 1 },
      { multiple: 8, relative: 0.9 },
    ]),
  ).toBe(
    'widths are multiples of 8 units; time per FLOP on this machine beside any width: 1: 100.0 %, 8: 90.0 %',
  );
});
