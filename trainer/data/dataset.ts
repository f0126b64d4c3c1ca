/** Labelled examples for one model input, read by index; what training, calibration and measuring draw from. */
import { SppError } from '../../schema/errors.ts';
import type { Tensor, ValueInfo } from '../graph/graph.ts';

export interface Split {
  readonly count: number;
  /** Model input of the given examples, normalised: float32 [indices.length, ...shape]. */
  inputs(indices: readonly number[]): Tensor;
  labels(indices: readonly number[]): Int32Array;
}

export interface Dataset {
  readonly name: string;
  /** Shape of one example. */
  readonly shape: readonly number[];
  readonly classes: number;
  readonly normalisation: Normalisation;
  readonly train: Split;
  readonly test: Split;
  /** Of the raw files, in the order train then test. */
  readonly sha256: string;
}

/** x -> (x * scale - mean) / std, channel by channel. */
export interface Normalisation {
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * The one input of a model as the data must fill it.
 * @throws `bad-data` when examples have another shape, `bad-model` when the model has not exactly one float input
 */
export function matchInput(dataset: Dataset, inputs: readonly ValueInfo[]): string {
  const [input, ...others] = inputs;
  if (input === undefined || others.length > 0 || input.dtype !== 'float32') {
    throw new SppError(
      'bad-model',
      `The model takes ${inputs.map((port) => `${port.name} (${port.dtype})`).join(', ')}.`,
      {
        hint: 'Image data feeds models with exactly one float input.',
      },
    );
  }
  const [, ...wanted] = input.dims;
  const fits =
    wanted.length === dataset.shape.length &&
    wanted.every((dim, i) => typeof dim === 'string' || dim === dataset.shape[i]);
  if (!fits) {
    throw new SppError(
      'bad-data',
      `${dataset.name} has examples of shape [${dataset.shape.join(', ')}], but the model's input ${input.name} wants [${wanted.join(', ')}].`,
      { hint: 'Give data of that shape, or the model that this data belongs to.' },
    );
  }
  return input.name;
}

/** First indices 0..count-1 in blocks of at most `size`. */
export function* blocks(count: number, size: number): Generator<number[]> {
  for (let start = 0; start < count; start += size) {
    yield Array.from({ length: Math.min(size, count - start) }, (_, i) => start + i);
  }
}

/** Mean and deviation of MNIST's training pixels, the values that models for it are usually trained with. */
export const mnistNormalisation: Normalisation = { scale: 1 / 255, mean: [0.1307], std: [0.3081] };
