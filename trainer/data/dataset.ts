/**
 * Examples of any model's inputs, read by index; what training, calibration and measuring draw from.
 * A data source knows what it holds (an image, token ids, arrays by name) but no model; `bind-dataset.ts` joins the two.
 */
import type { Dtype, Tensor } from '../graph/graph.ts';
import type { Normalisation } from './normalisation.ts';

/** What a field is, where its name says nothing: which model input takes it is decided by the inputs' types and names. */
export type FieldRole = 'image' | 'tokens' | 'mask';

export interface Field {
  /** A model input's name, unless a role is given. */
  readonly name: string;
  readonly role?: FieldRole;
  readonly dtype: Dtype;
  /** Shape of one example. */
  readonly shape: readonly number[];
}

/** Tensors [indices.length, ...shape] by field or input name. */
export type Tensors = Readonly<Record<string, Tensor>>;

export interface Split {
  readonly count: number;
  /** The fields of the given examples, in the order asked for. */
  read(indices: readonly number[]): Promise<Tensors>;
  /**
   * `class`: one label an example. `next-token`: one for each position of `tokens`, the id that follows it, -1 where
   * nothing is to be predicted. Absent when the data has no labels.
   */
  labels?(indices: readonly number[]): Int32Array;
}

/** Larger labels are not classes, but numbers of something. */
export const MOST_CLASSES = 2 ** 20;

export type Targets =
  | { readonly kind: 'class'; readonly names: readonly string[] }
  /** `rows`: tokens of an example that have a label of their own, where labels are given rather than read off the text; they may say anything of it. `binary`: all are 0 or 1. */
  | { readonly kind: 'next-token'; readonly rows?: number; readonly binary?: true };

export interface Dataset {
  readonly name: string;
  readonly fields: readonly Field[];
  readonly targets?: Targets;
  readonly train: Split;
  readonly test: Split;
  /** Of everything read, in a fixed order. */
  readonly sha256: string;
  /** All else that decides what examples look like: normalisation, crops, tokenizer, length, the split's seed. */
  readonly recipe: Readonly<Record<string, unknown>>;
  /** Of the image field. */
  readonly normalisation?: Normalisation;
}

/** First indices 0..count-1 in blocks of at most `size`. */
export function* blocks(count: number, size: number): Generator<number[]> {
  for (let start = 0; start < count; start += size) {
    yield Array.from({ length: Math.min(size, count - start) }, (_, i) => start + i);
  }
}
