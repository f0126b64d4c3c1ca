/** How pixels become what a model takes, channel by channel. */
import { SppError } from '../../schema/errors.ts';

/** x -> (x * scale - mean) / std, channel by channel. */
export interface Normalisation {
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Mean and deviation of MNIST's training pixels, the values that models for it are usually trained with. */
export const mnistNormalisation: Normalisation = { scale: 1 / 255, mean: [0.1307], std: [0.3081] };

/** @throws `usage` when mean or deviation have other channels than images */
export function assertChannels({ mean, std }: Normalisation, channels: number): void {
  if (mean.length === channels && std.length === channels) return;
  throw new SppError(
    'usage',
    `--mean and --std have ${mean.length} and ${std.length} values; images have ${channels} channel${channels === 1 ? '' : 's'}.`,
    { hint: 'Give a number for each channel, with commas between.' },
  );
}

/** All 256 values of a channel once, instead of arithmetic for each pixel. @returns float32 [256] */
export function byteTable({ scale, mean, std }: Normalisation, channel: number): Float32Array {
  return Float32Array.from(
    { length: 256 },
    (_, value) => (value * scale - (mean[channel] as number)) / (std[channel] as number),
  );
}
