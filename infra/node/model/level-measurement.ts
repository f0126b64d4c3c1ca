/** Measures levels on zeros before they are served: alone first, then in the sizes in which requests will share runs. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { SppError } from '../../../schema/errors.ts';
import type { Manifest } from '../../../schema/manifest.ts';
import { lengthBucket } from '../../../schema/sequence-length.ts';
import type { JobResult } from '../execution/scheduler.ts';
import { type InputSize, type PackedInputs, zeroInputs } from '../tensors.ts';

export interface MeasurementOptions {
  readonly manifest: Manifest;
  readonly workers: number;
  /** Whether the sparse levels are to be put to use while the denser ones are still coming. */
  readonly progressive: boolean;
  /** Whether to be put to use with all levels and not before, as what takes the place of another version is. */
  readonly whole: boolean;
  /** Batch sizes above 1 to measure; empty where requests do not share runs. */
  readonly sizes: readonly number[];
  /** Of inputs whose size is free. */
  size(): InputSize;
  /** Lengths of sequences to measure beside that; empty where inputs have none. */
  readonly lengths: readonly number[];
  /** Whether enough is known of a level from before, so that a few runs will do. */
  readonly isKnown: (level: number) => boolean;
  /** Whether a level that has been measured cannot be had any more, so that it is to be tried again. */
  readonly isLost: (level: number) => boolean;
  /** What measuring may take before a model that answers is put to use. */
  readonly budgetMs: number;
  readonly log: Logger;
  run(level: number, inputs: PackedInputs): Promise<JobResult>;
  /** Lets a level come while another is measured; settles when it is there, or will not come. */
  prefetch(level: number): Promise<void>;
  record(result: JobResult, rows: number, length: number): void;
  /** The model does not compute batches, or not row by row. */
  onUnshareable(reason: string): void;
  readonly isClosed: () => boolean;
}

export interface LevelMeasurement {
  /**
   * Measures levels that have not been measured: the sparsest first, then the dense one, then the others; in their order
   * if progressive.
   * @param onUsable called when the first levels answer and measuring all takes longer than it is worth waiting for; if
   *   progressive, when one level answers and the next takes its time to come
   * Levels that cannot be served are told in the log and left for the next call.
   * @returns whether there was anything to measure
   * @throws the sparsest level's fault when no level at all can be served; if whole, the first one's that cannot
   */
  measure(onUsable?: () => void): Promise<boolean>;
}

const RUNS_PER_LEVEL = 30;
const FEWEST_RUNS = 3;
/** Few runs a size: live ones join them soon. Their part of the budget, so that a start does not wait long for them. */
const RUNS_PER_SIZE = 4;
const SIZES_SHARE = 0.25;
/** For the next level: fewer starts are seen with sparse levels only. */
const WORTH_WAITING_MS = 200;

export function levelMeasurement(options: MeasurementOptions): LevelMeasurement {
  const { manifest, log } = options;
  const denseLevel = manifest.levels.length - 1;
  const levels = [...manifest.levels.keys()];
  const order = options.progressive ? levels : [...new Set([0, denseLevel, ...levels])];
  const measured = new Set<number>();
  const sized = new Set<number>();
  /** Why levels could not be measured when last tried. */
  const faults = new Map<number, unknown>();
  let measuring: Promise<boolean> | undefined;

  const usualLength = () => (options.lengths.length > 0 ? lengthBucket(options.size().length) : 0);

  /** Runs until there are enough samples or the slice of time is spent. The first run loads and warms up. */
  const measureAlone = async (level: number, untilMs: number) => {
    const inputs = zeroInputs(manifest.inputs, 1, options.size());
    const length = usualLength();
    await Promise.all(Array.from({ length: options.workers }, () => options.run(level, inputs)));
    // A level stays known only while its runs agree with what was known of it.
    for (let i = 0; i < (options.isKnown(level) ? FEWEST_RUNS : RUNS_PER_LEVEL); i++) {
      if (i >= FEWEST_RUNS && performance.now() > untilMs) break;
      options.record(await options.run(level, inputs), inputs.batch, length);
    }
    measured.add(level);
  };

  /** Alone in each length, until one is too long for the model. */
  const measureLengths = async (level: number, untilMs: number) => {
    for (const length of options.lengths) {
      const inputs = zeroInputs(manifest.inputs, 1, { ...options.size(), length });
      for (let i = 0; i <= RUNS_PER_SIZE; i++) {
        if (options.isClosed() || performance.now() > untilMs) return;
        const run = await options.run(level, inputs).catch((error: unknown) => {
          if (error instanceof SppError && error.code === 'bad-request') return undefined;
          throw error;
        });
        if (run === undefined) return;
        if (i > 0) options.record(run, inputs.batch, length);
      }
    }
  };

  const measureSizes = async (level: number, untilMs: number) => {
    for (const rows of options.sizes) {
      const inputs = zeroInputs(manifest.inputs, rows, options.size());
      for (let i = 0; i <= RUNS_PER_SIZE; i++) {
        if (options.isClosed() || performance.now() > untilMs) return;
        const run = await options.run(level, inputs);
        const odd = run.outputs.find(({ dims }) => dims[0] !== rows);
        if (odd !== undefined) return options.onUnshareable(`${odd.name} is [${odd.dims}] for ${rows} rows`);
        if (i > 0) options.record(run, rows, usualLength());
      }
    }
    sized.add(level);
  };

  const measureAllSizes = async (untilMs: number) => {
    try {
      for (const level of order)
        if (measured.has(level) && !sized.has(level) && !options.isKnown(level)) {
          await measureLengths(level, untilMs);
          await measureSizes(level, untilMs);
        }
    } catch (error) {
      if (options.isClosed()) return;
      if (error instanceof SppError && error.code === 'bad-request')
        return options.onUnshareable(error.message);
      log.warn({ err: error }, 'batches could not be measured');
    }
  };

  const measureAll = async (onUsable: () => void) => {
    const wanted = order.filter((level) => !measured.has(level) || options.isLost(level));
    const begunMs = performance.now();
    const endMs = begunMs + options.budgetMs;
    for (const [i, level] of wanted.entries()) {
      if (options.isClosed()) return true;
      const now = performance.now();
      const next = wanted[i + 1];
      const coming = options.progressive && next !== undefined ? options.prefetch(next) : undefined;
      try {
        await measureAlone(level, now + (endMs - now) / (wanted.length - i));
        faults.delete(level);
      } catch (error) {
        // Of a node that stops, no level is at fault.
        if (options.isClosed()) return true;
        // Where the provider takes one level it takes all, and no level is at fault.
        if (measured.size === 0 && error instanceof SppError && error.code === 'backend-unavailable')
          throw error;
        // Tried again and again while it lasts, told once.
        if (String(faults.get(level)) !== String(error))
          log.warn({ level, err: error }, 'a level cannot be served');
        faults.set(level, error);
      }
      const late = i >= 1 && performance.now() > endMs;
      if (options.whole || measured.size === 0) continue;
      if (late || (coming !== undefined && !(await within(WORTH_WAITING_MS, coming)))) onUsable();
    }
    if (measured.size === 0) throw faults.get(0);
    const [missing] = options.whole ? faults.values() : [];
    if (missing !== undefined) throw missing;
    if (wanted.length > 0)
      await measureAllSizes(Math.min(endMs, performance.now() + options.budgetMs * SIZES_SHARE));
    onUsable();
    return wanted.length > 0;
  };

  return {
    measure(onUsable = () => {}) {
      measuring ??= measureAll(onUsable).finally(() => {
        measuring = undefined;
      });
      return measuring;
    },
  };
}

async function within(ms: number, work: Promise<void>): Promise<boolean> {
  const stop = new AbortController();
  const tooLong = sleep(ms, false, { signal: stop.signal }).catch(() => false);
  const done = await Promise.race([work.then(() => true), tooLong]);
  stop.abort();
  return done;
}
