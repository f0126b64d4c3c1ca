/** One artifact version in service: its levels, its threads, its queue, and what has been measured of it. */
import type { Logger } from 'pino';
import { SppError } from '../../../schema/errors.ts';
import type { Manifest } from '../../../schema/manifest.ts';
import type { NodeReport } from '../../../schema/node-report.ts';
import { type JobResult, scheduler, type Waiting } from '../execution/scheduler.ts';
import { type SpawnThread, workerPool } from '../execution/worker-pool.ts';
import { fifoQueue } from '../queue/fifo-queue.ts';
import { type PackedInputs, zeroInputs } from '../tensors.ts';
import { latencyWindows } from './latency-window.ts';
import { levelCache } from './level-cache.ts';
import type { LevelSource } from './level-source.ts';

export interface ServedModelOptions {
  readonly source: LevelSource;
  readonly workers: number;
  readonly ep: string;
  readonly queueLimit: number;
  readonly memoryBudgetBytes: number;
  readonly log: Logger;
  readonly spawn?: SpawnThread | undefined;
  /** What measuring may take before a model that answers is put to use; 8000 unless told. */
  readonly measureBudgetMs?: number;
}

export interface LevelRequest {
  readonly level: number;
  readonly inputs: PackedInputs;
  readonly outputs: readonly string[];
  /** On the clock of `performance.now()`. */
  readonly deadlineMs: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ServedModel {
  readonly manifest: Manifest;
  readonly denseLevel: number;
  readonly queueLength: number;
  readonly inFlight: number;
  /** Whether a level can be expected to answer: it was not found damaged when last tried. */
  serves(level: number): boolean;
  /** @throws `unknown-level`, `level-unavailable`, and what the scheduler rejects with */
  infer(request: LevelRequest): Promise<JobResult>;
  /**
   * Measures levels at batch 1 that have not been measured, the sparsest first, then the dense one, then the others.
   * @param onUsable called once, when the first levels answer and measuring all takes longer than it is worth waiting for
   * Levels that cannot be served are told in the log and left for the next call.
   * @throws the sparsest level's fault when no level at all can be served
   */
  measure(onUsable?: () => void): Promise<void>;
  report(): NodeReport['models'][number];
  /** Refuses what waits and ends the threads. */
  close(): Promise<void>;
}

const RUNS_PER_LEVEL = 30;
const FEWEST_RUNS = 3;
const MEASURE_BUDGET_MS = 8000;

export function servedModel(options: ServedModelOptions): ServedModel {
  const { source, workers, ep, log } = options;
  const { manifest } = source;
  const denseLevel = manifest.levels.length - 1;
  const windows = latencyWindows(ep, 1);
  const pool = workerPool({
    size: workers,
    ep,
    onChange: () => jobs.pump(),
    onLost: (reason) => log.error({ reason }, 'a worker thread was lost and is replaced'),
    ...(options.spawn ? { spawn: options.spawn } : {}),
  });
  const jobs = scheduler(fifoQueue<Waiting>(options.queueLimit), pool);
  const cache = levelCache({
    source,
    budgetBytes: options.memoryBudgetBytes,
    copies: 1 + workers,
    onEvict: (level) => pool.unload(level),
    now: () => performance.now(),
  });
  const order = [...new Set([0, denseLevel, ...manifest.levels.keys()])];
  const measured = (level: number) => windows.profiles(level).length > 0;
  /** Why levels could not be measured when last tried. */
  const faults = new Map<number, unknown>();
  let measuring: Promise<void> | undefined;
  let closed = false;

  const infer = async ({ level, inputs, outputs, deadlineMs, signal }: LevelRequest) => {
    const model = await cache.get(level);
    const result = await jobs.submit({ model, feeds: inputs.feeds, outputs, deadlineMs, signal });
    windows.record(level, inputs.batch, result.executeMs);
    return result;
  };

  /** Runs until there are enough samples or the slice of time is spent. The first run loads and warms up. */
  const measureLevel = async (level: number, untilMs: number) => {
    const inputs = zeroInputs(manifest.inputs);
    const outputs = manifest.outputs.map((port) => port.name);
    const model = await cache.get(level);
    const run = () => jobs.submit({ model, feeds: inputs.feeds, outputs, deadlineMs: undefined });
    await Promise.all(Array.from({ length: workers }, run));
    for (let i = 0; i < RUNS_PER_LEVEL; i++) {
      if (i >= FEWEST_RUNS && performance.now() > untilMs) break;
      windows.record(level, inputs.batch, (await run()).executeMs);
    }
  };

  const measureAll = async (onUsable: () => void) => {
    const wanted = order.filter((level) => !measured(level));
    const endMs = performance.now() + (options.measureBudgetMs ?? MEASURE_BUDGET_MS);
    for (const [i, level] of wanted.entries()) {
      if (closed) return;
      const now = performance.now();
      try {
        await measureLevel(level, now + (endMs - now) / (wanted.length - i));
        faults.delete(level);
      } catch (error) {
        // Tried again and again while it lasts, told once.
        if (String(faults.get(level)) !== String(error))
          log.warn({ level, err: error }, 'a level cannot be served');
        faults.set(level, error);
      }
      if (i >= 1 && order.some(measured) && performance.now() > endMs) onUsable();
    }
    if (!order.some(measured)) throw faults.get(0);
    onUsable();
  };

  return {
    manifest,
    denseLevel,
    get queueLength() {
      return jobs.queueLength;
    },
    get inFlight() {
      return jobs.inFlight;
    },
    serves: (level) => level in manifest.levels && cache.faultOf(level) === undefined,
    infer,
    measure(onUsable = () => {}) {
      measuring ??= measureAll(onUsable).finally(() => {
        measuring = undefined;
      });
      return measuring;
    },
    report: () => ({
      model: manifest.model.id,
      artifactVersion: manifest.model.version,
      // A level found damaged is left out, so that nobody sends requests for it.
      levels: manifest.levels
        .filter(({ level }) => cache.faultOf(level) === undefined)
        .map(({ level }) => ({ level, resident: cache.has(level), profiles: windows.profiles(level) })),
    }),
    async close() {
      closed = true;
      jobs.close(
        new SppError('draining', 'The node is shutting down.', { hint: 'Ask another node.', retryAfterS: 1 }),
      );
      await pool.close();
    },
  };
}
