import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import type { Dtype, ValueInfo } from '../graph/graph.ts';
import { addDataFlags, dataSettings, dataSpec } from './data-flags.ts';

const input = (name: string, dtype: Dtype, ...dims: (number | string)[]): ValueInfo => ({
  name,
  dtype,
  dims,
});
const pixels = input('pixel_values', 'float32', 'batch', 3, 32, 48);
const ids = input('input_ids', 'int64', 'batch', 'sequence');
const mask = input('attention_mask', 'int64', 'batch', 'sequence');

/** Flags as the command line gives them. */
function flagsOf(...argv: string[]): Record<string, unknown> {
  const command = addDataFlags(new Command()).exitOverride();
  return command.parse(argv, { from: 'user' }).opts();
}
const settings = (inputs: ValueInfo[], ...argv: string[]) => dataSettings(flagsOf(...argv), inputs);

describe('settings follow from flags, and from the model where flags are silent', () => {
  test('image size and fixed text length are the model’s', () => {
    expect(settings([pixels]).image).toEqual({ channels: 3, height: 32, width: 48 });
    expect(settings([input('input_ids', 'int64', 'batch', 77)]).length).toBe(77);
    expect(settings([ids]).length).toBe(128);
  });

  test('flags override', () => {
    const made = settings(
      [pixels, ids],
      ...[
        '--size',
        '24x20',
        '--mean',
        '0.5,0.4,0.3',
        '--std',
        '0.2,0.2,0.1',
        '--length',
        '9',
        '--crop',
        '0.9',
      ],
    );
    expect(made).toMatchObject({
      image: { channels: 3, height: 24, width: 20 },
      normalisation: { scale: 1 / 255, mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.1] },
      length: 9,
      crop: 0.9,
    });
  });

  test.each([
    [['--size', 'large'], /--size large/],
    [['--crop', '0'], /--crop 0/],
    [['--length', '1'], /--length 1/],
    [['--max-bad', '2'], /--max-bad 2/],
    [['--mean', '0.5,x,1', '--std', '1,1,1'], /--mean 0.5,x,1/],
    [['--mean', '0.5,0.5,0.5', '--std', '1,0,1'], /--std 1,0,1/],
    [['--mean', '0.5,0.5,0.5'], /go together/],
  ])('%j is refused by name', (argv, message) => {
    expect(() => settings([pixels], ...argv)).toThrow(
      expect.objectContaining({ code: 'usage', message: expect.stringMatching(message) }),
    );
  });
});

test('a flag that means nothing to the source is refused, with those that it is for', () => {
  const given = (...argv: string[]) => dataSpec(flagsOf(...argv), [pixels, ids]);
  const refused = (flag: string, source: string) =>
    expect.objectContaining({
      code: 'usage',
      message: `${flag} means nothing to --data ${source}.`,
      hint: expect.stringContaining('jsonl:FILE'),
    });
  expect(() => given('--data', 'mnist', '--tokenizer', 't.json')).toThrow(refused('--tokenizer', 'mnist'));
  expect(() => given('--data', 'text:x', '--crop', '0.9')).toThrow(refused('--crop', 'text:x'));
  expect(() => given('--data', 'npz:x.npz', '--length', '8')).toThrow(refused('--length', 'npz:x.npz'));
  expect(() => given('--data', 'idx:x', '--max-bad', '0')).toThrow(refused('--max-bad', 'idx:x'));
  expect(given('--data', 'jsonl:x', '--size', '8', '--tokenizer', 't.json', '--apart')).toBe('jsonl:x');
  expect(given('--data', 'idx:x', '--mean', '0.5')).toBe('idx:x');
});

describe('data that cannot feed a model is refused before it is read', () => {
  test.each([
    ['nothing given', [], [ids, mask], /what the model is to be run on/, /text:FILE/],
    ['images for a text model', ['--data', 'images:x'], [ids, mask], /images:x feeds none/, /text:FILE/],
    ['text for an image model', ['--data', 'text:x'], [pixels], /text:x feeds none/, /images:DIRECTORY/],
    ['nothing for two towers', [], [pixels, ids], /pixel_values .*input_ids/, /image file and a text/],
  ])('%s', (_, argv, inputs, message, hint) => {
    expect(() => dataSpec(flagsOf(...argv), inputs)).toThrow(
      expect.objectContaining({
        code: 'usage',
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      }),
    );
  });

  test('arrays may feed anything', () => {
    expect(dataSpec(flagsOf('--data', 'npz:x.npz'), [pixels, ids])).toBe('npz:x.npz');
  });
});
