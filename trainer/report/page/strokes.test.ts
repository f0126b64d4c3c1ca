import { expect, test } from 'vitest';
import { lineTypeOf, strokeOf } from './strokes.ts';

test('each kind has a stroke of its own, the same in chart and legend', () => {
  const places = [0, 1, 2, 3];
  expect(new Set(places.map((place) => JSON.stringify(lineTypeOf(place)))).size).toBe(4);
  expect(new Set(places.map((place) => strokeOf(place, 'red'))).size).toBe(4);
  expect([lineTypeOf(0), strokeOf(0, 'red')]).toEqual(['solid', 'red']);
  expect(lineTypeOf(1)).toEqual([7, 4]);
  expect(strokeOf(1, 'red')).toBe('repeating-linear-gradient(90deg, red 0px 7px, transparent 7px 11px)');
});
