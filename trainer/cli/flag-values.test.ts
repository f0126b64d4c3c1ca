import { expect, test } from 'vitest';
import { z } from 'zod';
import { type BuildOptions, buildOptionsSchema } from '../build/options.ts';
import { flagOf, flagValue, flagValues, numberOf } from './flag-values.ts';

/** What somebody is told who types this. */
function told(option: keyof BuildOptions, typed: unknown, value: unknown = numberOf(typed)): string {
  try {
    flagValues(
      buildOptionsSchema,
      { id: 'model', [option]: value },
      { command: 'build-path', typed: { [option]: typed } },
    );
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

test('a wrong value is named with its flag and what the flag takes', () => {
  const steps =
    '--steps 5 is not usable: it takes a whole number from 10 to 100000 (120 where it is left out).';
  expect(told('steps', '5')).toBe(steps);
  expect(told('steps', 'abc')).toBe(steps.replace('5', 'abc'));
  expect(told('steps', '10.5')).toBe(steps.replace('5', '10.5'));
  expect(told('steps', '')).toBe(steps.replace('5', '""'));
  expect(told('lowest', '2')).toContain('--lowest 2 is not usable: it takes a number above 0 and below 1');
  expect(told('calibration', '3')).toContain('a whole number of at least 64 (8192');
  expect(told('recover', 'foo', 'foo')).toContain('it takes auto or off, or a whole number from 1 to');
  expect(told('grid', '0.2,x', [0.2, Number.NaN])).toContain(
    '--grid 0.2,x is not usable: it takes values with',
  );
  expect(told('recoverRate', '7')).toContain('--recover-rate 7');
  expect(told('steps', '50')).toBe('');
});

test('all wrong flags are named at once, by the names that they have', () => {
  const ask = () =>
    flagValues(
      buildOptionsSchema,
      { id: 'm', levels: 1, outputs: [''] },
      { command: 'build-path', typed: { levels: '1', output: '' }, names: { outputs: 'output' } },
    );
  expect(ask).toThrow(/--levels 1 is not usable: .* --output "" is not usable/);
});

test('a value that nobody typed is to be given', () => {
  const ask = () => flagValues(buildOptionsSchema, { id: '.x' }, { command: 'build-path', typed: {} });
  expect(ask).toThrow(/--id must be given: ".x" is not usable, must be 1-64 of/);
});

test('no option of a build is told in the words of a library', () => {
  for (const option of Object.keys(buildOptionsSchema.shape) as (keyof BuildOptions)[]) {
    const message = told(option, '{}', {});
    expect(message, option).toContain(flagOf(option));
    expect(message).not.toMatch(/expected|received|Invalid|→/);
  }
});

test('one flag by itself', () => {
  expect(flagValue(z.int().min(0), ['level', '3', 3], 'export')).toBe(3);
  expect(() => flagValue(z.int().min(0), ['level', '-1', -1], 'export')).toThrow(
    '--level -1 is not usable: it takes a whole number of at least 0.',
  );
});
