/** The flags that say what data is and how it becomes inputs; all of them in one place, so that commands share them. */
import type { Command } from 'commander';
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import { dataAdvice, describeInput, feedsAny } from '../data/data-advice.ts';
import { type DataSettings, DEFAULT_LENGTH, DEFAULT_MAX_BAD, type ImageSize } from '../data/data-settings.ts';
import { mnistNormalisation, type Normalisation } from '../data/normalisation.ts';
import { dataForms, readElsewhere } from '../data/open-dataset.ts';
import type { ValueInfo } from '../graph/graph.ts';
import { flagOf, flagValue, numberOf } from './flag-values.ts';

type Flags = Readonly<Record<string, unknown>>;

/** The command that has them. */
const COMMAND = 'build-path';

/** By flag, the setting that it says. */
const SETTINGS = {
  size: 'image',
  crop: 'crop',
  mean: 'normalisation',
  std: 'normalisation',
  tokenizer: 'tokenizer',
  length: 'length',
  apart: 'apart',
  maxBad: 'maxBad',
} as const satisfies Record<string, keyof DataSettings>;

export function addDataFlags(command: Command): Command {
  return command
    .option('--data <spec>', dataForms.join(', '))
    .option('--size <pixels>', "images: SIDE or HEIGHTxWIDTH (default: the model's)")
    .option('--crop <share>', 'images: share of the middle that is kept (default: 1)')
    .option(
      '--mean <x,..>',
      "images: mean of normalised pixels, one a channel (default: MNIST's for IDX, ImageNet's)",
    )
    .option('--std <x,..>', 'images: deviation of normalised pixels, one a channel')
    .option('--tokenizer <file>', 'text: tokenizer.json, or chars:FILE with a JSON list of characters')
    .option('--length <n>', `text: tokens of an example (default: the model's, else ${DEFAULT_LENGTH})`)
    .option(
      '--apart',
      'jsonl: each text is an example of its own, padded (default: where records have labels or images)',
    )
    .option('--max-bad <share>', `share of records that may be bad (default: ${DEFAULT_MAX_BAD})`);
}

/**
 * @param inputs of the model, which say how large images are
 * @throws `usage` naming the flag
 */
export function dataSettings(flags: Flags, inputs: readonly ValueInfo[]): DataSettings {
  const image = imageSize(flags, inputs);
  const normalisation = normalisationOf(flags, image?.channels ?? 1);
  return {
    length: flags.length === undefined ? lengthOf(inputs) : number(flags, 'length', z.int().min(2)),
    apart: flags.apart === true,
    withoutLabels: flags.task === 'next-token',
    ...(image === undefined ? {} : { image }),
    ...(flags.crop === undefined ? {} : { crop: number(flags, 'crop', z.number().gt(0).max(1)) }),
    ...(flags.maxBad === undefined ? {} : { maxBad: number(flags, 'maxBad', z.number().min(0).max(1)) }),
    ...(normalisation === undefined ? {} : { normalisation }),
    ...(flags.tokenizer === undefined ? {} : { tokenizer: String(flags.tokenizer) }),
  };
}

/** Of tokens, where the model fixes it. */
function lengthOf(inputs: readonly ValueInfo[]): number {
  const fixed = inputs.find(({ dtype, dims }) => dtype.startsWith('int') && dims.length === 2)?.dims[1];
  return typeof fixed === 'number' && fixed >= 2 ? fixed : DEFAULT_LENGTH;
}

/** @throws `usage` saying what the model takes, when nothing was given or nothing that fits, or naming a flag that means nothing to the source */
export function dataSpec(flags: Flags, inputs: readonly ValueInfo[]): string {
  const { data } = flags;
  const kind = String(data ?? '').split(':')[0] ?? '';
  if (data !== undefined && feedsAny(kind, inputs)) {
    for (const [flag, setting] of Object.entries(SETTINGS))
      if (flags[flag] !== undefined) assertRead(String(data), flag, setting);
    return String(data);
  }
  const wrong =
    data === undefined ? 'says what the model is to be run on' : `${data} feeds none of the inputs`;
  throw new SppError(
    'usage',
    `--data ${wrong}; the model's inputs are ${inputs.map(describeInput).join(', ')}.`,
    { hint: dataAdvice(inputs) },
  );
}

/** @throws `usage` */
function assertRead(spec: string, flag: string, setting: keyof DataSettings): void {
  const elsewhere = readElsewhere(spec, setting);
  if (elsewhere === undefined) return;
  throw new SppError('usage', `${flagOf(flag)} means nothing to --data ${spec}.`, {
    hint: `Leave it out: it is for ${elsewhere.join(', ')}.`,
  });
}

function imageSize({ size }: Flags, inputs: readonly ValueInfo[]): ImageSize | undefined {
  const [, channels, ...sides] = inputs.find(({ dims }) => dims.length === 4)?.dims ?? [];
  if (size === undefined) {
    const [height, width] = sides;
    if (typeof height !== 'number' || typeof width !== 'number') return undefined;
    return { channels: channels === 1 ? 1 : 3, height, width };
  }
  const match = /^([1-9]\d*)(?:x([1-9]\d*))?$/.exec(String(size));
  const [height, width] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
  if (match === null)
    throw new SppError(
      'usage',
      `--size ${String(size)} is not usable: it takes SIDE or HEIGHTxWIDTH in pixels.`,
      {
        hint: 'Give --size 224 or --size 192x256, for instance.',
      },
    );
  return { channels: channels === 1 ? 1 : 3, height, width };
}

/** Undefined when neither was given, so that each kind of data keeps its own. */
function normalisationOf(flags: Flags, channels: number): Normalisation | undefined {
  if (flags.mean === undefined && flags.std === undefined) return undefined;
  if (channels > 1 && (flags.mean === undefined || flags.std === undefined))
    throw new SppError('usage', '--mean and --std go together.', {
      hint: 'Give both, a number for each channel, or neither.',
    });
  const mean = numbers(flags, 'mean', z.number()) ?? mnistNormalisation.mean;
  const std = numbers(flags, 'std', z.number().gt(0)) ?? mnistNormalisation.std;
  return { scale: 1 / 255, mean, std };
}

function numbers(flags: Flags, name: string, each: z.ZodNumber): number[] | undefined {
  const given = flags[name];
  if (given === undefined) return undefined;
  return flagValue(z.array(each), [name, given, String(given).split(',').map(numberOf)], COMMAND);
}

function number(flags: Flags, name: string, schema: z.ZodNumber): number {
  return flagValue(schema, [name, flags[name], numberOf(flags[name])], COMMAND);
}
