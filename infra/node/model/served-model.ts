/** One artifact version in service: its levels, its threads, its queue, and what has been measured of it. */
import type { Logger } from 'pino';
import { SppError } from '../../../schema/errors.ts';
import type { Manifest } from '../../../schema/manifest.ts';
import type { NodeReport } from '../../../schema/node-report.ts';
import { type JobResult, scheduler, type Waiting } from '../execution/scheduler.ts';
import { type SpawnThread, workerPool } from '../execution/worker-pool.ts';
import { edfQueue } from '../queue/edf-queue.ts';
import type { PackedInputs } from '../tensors.ts';
import { before } from './before.ts';
import { latencyWindows } from './latency-window.ts';
import { levelCache } from './level-cache.ts';
import { levelMeasurement } from './level-measurement.ts';
import type { LevelModels, SizedLevel } from './level-models.ts';
import { packing } from './packing.ts';

export interface ServedModelOptions {
  readonly source: LevelModels;
  readonly workers: number;
  readonly ep: string;
  readonly queueLimit: number;
  /** Most rows of requests that share a run. */
  readonly maxBatch: number;
  readonly memoryBudgetBytes: number;
  /** Whether the sparse levels of an artifact that comes from elsewhere are served before all of it is there. */
  readonly progressive: boolean;
  readonly log: Logger;
  readonly spawn?: SpawnThread | undefined;
  /** What measuring may take before a model that answers is put to use; 8000 unless told. */
  readonly measureBudgetMs?: number;
}

export interface LevelRequest {
  readonly level: number;
  /** The sparsest level to step down to when time is short; `level` for none. */
  readonly minLevel: number;
  readonly inputs: PackedInputs;
  readonly outputs: readonly string[];
  /** On the clock of `performance.now()`. */
  readonly deadlineMs: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ServedModel {
  readonly manifest: Manifest;
  readonly denseLevel: number;
  /** What is served where no level is asked for: the dense one; while its files are still coming, the densest that is there. */
  readonly defaultLevel: number;
  readonly queueLength: number;
  readonly inFlight: number;
  readonly residentLevels: number;
  /** What the levels in memory take of the budget. */
  readonly levelBytes: number;
  /** Whether a level can be expected to answer: it was not found damaged when last tried. */
  serves(level: number): boolean;
  /** @throws `unknown-level`, `level-unavailable`, and what the scheduler rejects with */
  infer(request: LevelRequest): Promise<JobResult>;
  /** See `LevelMeasurement`. */
  measure(onUsable?: () => void): Promise<void>;
  report(): NodeReport['models'][number];
  /** Refuses what waits and ends the threads. */
  close(): Promise<void>;
}

const MEASURE_BUDGET_MS = 8000;
/** Between looks at which level is worth packing, and which sessions threads lack. */
const UPKEEP_MS = 1000;

export function servedModel(options: ServedModelOptions): ServedModel {
  const { source, workers, ep, log } = options;
  const { manifest } = source;
  const progressive = options.progressive && source.remote;
  const denseLevel = manifest.levels.length - 1;
  const shareableSizes = manifestShares(manifest) ? sizesUpTo(options.maxBatch) : [];
  const windows = latencyWindows(ep, 1, [1, ...shareableSizes]);
  let shares = shareableSizes.length > 0;
  const pool = workerPool({
    size: workers,
    ep,
    onChange: () => jobs.pump(),
    onLost: (reason) => log.error({ reason }, 'a worker thread was lost and is replaced'),
    ...(options.spawn ? { spawn: options.spawn } : {}),
  });
  const jobs = scheduler(edfQueue<Waiting>(options.queueLimit), pool, {
    maxRows: options.maxBatch,
    times: windows.times,
    atHand: (level) => cache.has(level),
  });
  const cache = levelCache({
    source,
    budgetBytes: options.memoryBudgetBytes,
    onEvict: (level) => pool.unload(level),
    onUnpack: () => pool.pack(undefined),
    now: () => performance.now(),
  });
  let closed = false;
  /** Levels that have been there, if only once. */
  const arrived = new Set<number>();

  // Before anything has run, the dense level is the one that most will ask for.
  let packed: number | undefined = denseLevel;
  const chosen = packing();
  const pack = (level: number | undefined) => {
    packed = level;
    pool.pack(cache.pack(level) ? level : undefined);
  };
  pack(packed);
  const upkeep = () => pool.upkeep(() => jobs.queueLength === 0);
  const tick = setInterval(() => {
    const choice = chosen.choose(packed);
    if (choice !== packed) pack(choice);
    void upkeep();
  }, UPKEEP_MS);
  tick.unref();

  /** The level asked for once it is there; where time counts and a sparser one is allowed, the densest that is there already. */
  const atHand = async ({ level, minLevel, deadlineMs, signal }: LevelRequest): Promise<SizedLevel> => {
    if (!cache.has(level) && deadlineMs !== undefined)
      for (let sparser = level - 1; sparser >= minLevel; sparser--) {
        const model = cache.peek(sparser);
        if (model === undefined) continue;
        // It may be there for the next request; why it is not is told to those who can have no other.
        cache.get(level).catch(() => {});
        return model;
      }
    return cache.has(level) ? cache.get(level) : before(deadlineMs, signal, cache.get(level));
  };

  const infer = async (request: LevelRequest) => {
    const { inputs, outputs } = request;
    const model = await atHand(request);
    const { level } = model;
    const result = await jobs.submit({
      level,
      minLevel: request.minLevel,
      rows: inputs.batch,
      shareKey: shares ? shareKey(inputs, outputs) : undefined,
      feeds: inputs.feeds,
      outputs,
      model: (other) => (other === level ? model : cache.peek(other)),
      deadlineMs: request.deadlineMs,
      signal: request.signal,
    });
    if (result.leads) chosen.record(result.level, result.executeMs);
    if (result.leads && result.loadMs === 0) windows.record(result.level, result.runRows, result.executeMs);
    return result;
  };

  const { measure } = levelMeasurement({
    manifest,
    workers,
    progressive,
    sizes: shareableSizes,
    prefetch: (level) =>
      cache.get(level).then(
        () => {},
        () => {},
      ),
    budgetMs: options.measureBudgetMs ?? MEASURE_BUDGET_MS,
    log,
    async run(level, inputs) {
      const model = await cache.get(level);
      arrived.add(level);
      return jobs.submit({
        level,
        minLevel: level,
        rows: inputs.batch,
        shareKey: undefined,
        feeds: inputs.feeds,
        outputs: manifest.outputs.map((port) => port.name),
        model: () => model,
        deadlineMs: undefined,
      });
    },
    record: windows.record,
    onUnshareable(reason) {
      shares = false;
      log.warn({ reason }, 'requests do not share runs: the model does not compute batches row by row');
    },
    isClosed: () => closed,
  });

  return {
    manifest,
    denseLevel,
    get defaultLevel() {
      if (!progressive || arrived.has(denseLevel) || cache.faultOf(denseLevel) !== undefined)
        return denseLevel;
      return Math.max(...arrived, ...(arrived.size === 0 ? [denseLevel] : []));
    },
    get queueLength() {
      return jobs.queueLength;
    },
    get inFlight() {
      return jobs.inFlight;
    },
    get residentLevels() {
      return cache.size;
    },
    get levelBytes() {
      return cache.usedBytes;
    },
    serves: (level) => level in manifest.levels && cache.faultOf(level) === undefined,
    infer,
    measure,
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
      clearInterval(tick);
      jobs.close(
        new SppError('draining', 'The node is shutting down.', { hint: 'Ask another node.', retryAfterS: 1 }),
      );
      await pool.close();
      await source.close();
    },
  };
}

/** Whether every input and output has a leading dimension that requests choose. */
function manifestShares({ inputs, outputs }: Manifest): boolean {
  return [...inputs, ...outputs].every(({ shape }) => shape[0] === -1);
}

/** Powers of two above 1, and the limit itself. */
function sizesUpTo(limit: number): number[] {
  const sizes = Array.from({ length: Math.floor(Math.log2(limit)) }, (_, i) => 2 ** (i + 1));
  return limit === 1 || sizes.at(-1) === limit ? sizes : [...sizes, limit];
}

/** Equal for requests whose tensors can be joined along the leading dimension. */
function shareKey({ feeds }: PackedInputs, outputs: readonly string[]): string {
  return JSON.stringify([feeds.map(({ dims }) => dims.slice(1)), outputs]);
}
