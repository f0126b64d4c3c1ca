/** What the command line may say about data, beyond where it lies. */
import type { Normalisation } from './dataset.ts';

export interface DataSettings {
  /** Of images; each source has a default of its own. */
  readonly normalisation?: Normalisation;
}
