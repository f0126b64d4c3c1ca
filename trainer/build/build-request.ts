/** What a build is asked for. */
import type { Dataset } from '../data/dataset.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';

export interface BuildRequest {
  readonly modelPath: string;
  readonly dataset: Dataset;
  /** Directory that becomes the artifact. */
  readonly out: string;
  readonly options: BuildOptions;
  readonly resume: boolean;
  /** Throw away what an earlier build left in `out`. */
  readonly force: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}
