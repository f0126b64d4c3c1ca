/** What the command line may say about data, beyond where it lies. */
import type { Normalisation } from './normalisation.ts';

export interface DataSettings {
  /** Of images; each source has a default of its own. */
  readonly normalisation?: Normalisation;
  /** Of images, as the model wants them. */
  readonly image?: ImageSize;
  /** Share of the image's shorter side that the central crop keeps; 1 by default. */
  readonly crop?: number;
  /** `tokenizer.json` of Hugging Face, or `chars:FILE` with a JSON list of characters. */
  readonly tokenizer?: string;
  /** Tokens of one example; 128 by default. */
  readonly length?: number;
  /** Texts are an example each, padded, even without labels; else they run on into windows. */
  readonly apart?: boolean;
  /** Text is read as text alone, whatever class its records are labelled with. */
  readonly withoutLabels?: boolean;
  /** Seed of shuffles and of splits that the data does not make itself. */
  readonly seed?: number;
  /** Share of records that may be unusable; 0.01 by default. */
  readonly maxBad?: number;
  /** Examples that are needed at most: sources that decode each example stop there. */
  readonly most?: { readonly train: number; readonly test: number };
  /** Told what was left out. */
  readonly note?: (message: string) => void;
}

export interface ImageSize {
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
}

export const DEFAULT_LENGTH = 128;
export const DEFAULT_MAX_BAD = 0.01;
