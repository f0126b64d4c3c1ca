import { expect, test } from 'vitest';
import { alignmentText, chosenMultiple, relativeTime } from './choose-alignment.ts';

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
    'widths are multiples of 8 units; time on this machine beside any width with as many FLOPs: 1: 100.0 %, 8: 90.0 %',
  );
});

test('a level is held against any width with as many FLOPs, not with fewer', () => {
  // Half of the time is there whatever is computed: more FLOPs in little more time are no gain.
  const takes = (flops: number) => ({ flops, ms: 5 + flops });
  const any = [[takes(2), takes(5), takes(10)]];
  expect(relativeTime([[takes(4), takes(7), takes(10)]], any)).toBeCloseTo(1, 9);
  const faster = [[{ flops: 4, ms: 4.5 }, takes(5), takes(10)]];
  expect(relativeTime(faster, any)).toBeCloseTo(Math.sqrt(0.5), 9);
});
