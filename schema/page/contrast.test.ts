/** Colours against their grounds, as WCAG 2.2 asks: 4.5 for text (1.4.3), 3 for what controls and lines are told by (1.4.11). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { OTHER_COLOURS } from './palette.ts';

const css = readFileSync(join(import.meta.dirname, 'base.css'), 'utf8');
const [light = '', dark = ''] = css.split('prefers-color-scheme: dark');
const GROUNDS = ['--ground', '--raised'];

function colourIn(scheme: string, name: string): string {
  const found = new RegExp(`${name}: (#[0-9a-f]{6})`).exec(scheme)?.[1];
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}

/** Relative luminance. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5]
    .map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [darker = 0, lighter = 0] = [luminance(a), luminance(b)].toSorted((x, y) => x - y);
  return (lighter + 0.05) / (darker + 0.05);
}

test('is reckoned as WCAG does', () => {
  expect(contrast('#ffffff', '#000000')).toBeCloseTo(21);
  expect(contrast('#777777', '#ffffff')).toBeCloseTo(4.48, 2);
});

describe.each([
  ['light', light],
  ['dark', dark],
])('on a %s ground', (_, scheme) => {
  test.each(GROUNDS)('text and controls are read on %s', (ground) => {
    const under = colourIn(scheme, ground);
    for (const name of ['--ink', '--quiet', '--accent', '--good', '--bad'])
      expect(contrast(colourIn(scheme, name), under), name).toBeGreaterThanOrEqual(4.5);
    expect(contrast(colourIn(scheme, '--edge'), under)).toBeGreaterThanOrEqual(3);
  });

  test('lines of charts are told from it', () => {
    for (const colour of OTHER_COLOURS)
      expect(contrast(colour, colourIn(scheme, '--ground')), colour).toBeGreaterThanOrEqual(3);
  });
});
