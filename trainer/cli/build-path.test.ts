import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { isInstalled } from '../engine/backend-names.ts';
import { publishedForm } from '../search/published-form.ts';
import { buildPathCommand, parseOptions } from './build-path.ts';

test('the published form takes as many steps as its units need to enter, unless it is told how many', () => {
  const stepsOf = (flags: Record<string, unknown>) =>
    parseOptions('model.onnx', { data: 'mnist', align: '1', recover: 'auto', ...flags }, {}).steps;
  expect(stepsOf({ search: 'published' })).toBe(publishedForm.steps);
  // At M = 1, V grows by rate times kappa a step, and a unit enters at lambda.
  const { lambda, learningRate, kappa, steps } = publishedForm;
  expect(lambda / (learningRate * kappa)).toBeLessThan(steps);
  expect(stepsOf({ search: 'published', steps: '40' })).toBe(40);
  expect(stepsOf({ search: 'inclusion' })).toBe(120);
});

const DIGITS = fileURLToPath(new URL('../../examples/digits/digits.onnx', import.meta.url));

/** Data that is not there would be said next. */
const build = (...given: string[]) =>
  buildPathCommand().parseAsync([DIGITS, '--data', 'idx:missing', '--out', 'unused', ...given], {
    from: 'user',
  });

test.skipIf(isInstalled('tfjs-node'))(
  'a backend that is not installed is said before data is read (skipped where tfjs-node is installed)',
  async () => {
    await expect(build('--backend', 'tfjs-node')).rejects.toMatchObject({ code: 'backend-unavailable' });
  },
);

test('no artifact is built into the folder that the command happens to run in', async () => {
  await expect(build('--out', '')).rejects.toMatchObject({
    code: 'usage',
    message: '--out "" is not usable: it takes a path.',
  });
});

test('a mean for each channel of the images, no more and no less', async () => {
  await expect(build('--mean', '0.1,0.2')).rejects.toMatchObject({
    code: 'usage',
    message: '--mean and --std have 2 and 1 values; images have 1 channel.',
  });
});

test.each([
  [
    'levels are asked for in one way',
    ['--grid', '0.5', '--levels', '3'],
    /--grid .* cannot be used with .*--levels/,
  ],
  [
    'a build is gone on with or replaced',
    ['--resume', '--force'],
    /--resume.* cannot be used with .*--force/,
  ],
])('%s', async (_, flags, message) => {
  const command = buildPathCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  const given = [DIGITS, '--data', 'mnist', '--out', 'unused', ...flags];
  await expect(command.parseAsync(given, { from: 'user' })).rejects.toThrow(message);
});

test('what a backend cannot do is said before data is read', async () => {
  await expect(build('--backend', 'wasm', '--recompute')).rejects.toMatchObject({ code: 'usage' });
  await expect(build('--backend', 'onnxruntime', '--recompute')).rejects.toMatchObject({ code: 'bad-data' });
});
