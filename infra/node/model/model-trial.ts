/** Which inputs a model takes, and what its requests may have in common, as tried on it before any request depends on that. */
import type { Logger } from 'pino';
import { SppError } from '../../../schema/errors.ts';
import type { Manifest } from '../../../schema/manifest.ts';
import { type InputSize, LEAST, type PackedInputs, type RawTensor } from '../tensors.ts';
import { leastSize } from './least-size.ts';
import { paddedAxes } from './padding.ts';
import { meetingRows } from './row-sharing.ts';
import { manifestShares } from './sharing.ts';

export interface ModelTrial {
  /** What to measure levels with; the least of all until that has been tried. */
  readonly size: InputSize;
  /** Whether requests may share runs. */
  readonly shares: boolean;
  /** Whether rows of a batch are computed from each other, so that they are one request's, and inputs may have as many as they like. */
  readonly rowsMeet: boolean;
  /** Tensors whose sequences may be filled up. Sets that grow when that has been tried. */
  readonly padded: { readonly inputs: ReadonlySet<string>; readonly outputs: ReadonlySet<string> };
  /** Tries at the sparsest level that answers, once; again where none did. */
  try(): Promise<void>;
  /** Requests run one by one from now on. */
  refuse(reason: string): void;
}

/**
 * @param shares whether requests would share runs if the model allows it
 * @param run a level, on inputs of the ports
 */
export function modelTrial(
  manifest: Manifest,
  shares: boolean,
  run: (level: number, inputs: PackedInputs) => Promise<readonly RawTensor[]>,
  log: Logger,
): ModelTrial {
  const padded = { inputs: new Set<string>(), outputs: new Set<string>() };
  let mayShare = shares;
  let rowsMeet = false;
  let size = LEAST;
  let trying: Promise<boolean> | undefined;

  const refuse = (reason: string) => {
    mayShare = false;
    log.warn({ reason }, 'requests do not share runs: the model does not compute batches row by row');
  };

  const tryRows = async (level: number) => {
    if (!manifestShares(manifest)) return;
    try {
      const reason = await meetingRows(manifest, size, (inputs) => run(level, inputs));
      if (reason === undefined) return;
      rowsMeet = true;
      refuse(reason);
    } catch (error) {
      if (!(error instanceof SppError) || error.code !== 'bad-request') throw error;
      refuse(error.message);
    }
  };

  const tryPadding = async (level: number) => {
    if (!mayShare) return;
    const axes = await paddedAxes(manifest, (inputs) => run(level, inputs)).catch(() => undefined);
    for (const name of axes?.inputs ?? []) padded.inputs.add(name);
    for (const name of axes?.outputs ?? []) padded.outputs.add(name);
    if (axes !== undefined)
      log.info({ inputs: [...axes.inputs] }, 'sequences of different lengths share runs');
  };

  /** @returns whether a level answered */
  const tryLevels = async () => {
    for (const level of manifest.levels.keys())
      try {
        size = await leastSize(manifest.inputs, (inputs) => run(level, inputs));
        await tryRows(level);
        await tryPadding(level);
        return true;
      } catch (error) {
        // One that is damaged or out of reach says nothing of the model; that is told when it is measured.
        if (!(error instanceof SppError) || error.code !== 'level-unavailable') return false;
      }
    return false;
  };

  return {
    get size() {
      return size;
    },
    get shares() {
      return mayShare;
    },
    get rowsMeet() {
      return rowsMeet;
    },
    padded,
    async try() {
      trying ??= tryLevels();
      if (!(await trying)) trying = undefined;
    },
    refuse,
  };
}
