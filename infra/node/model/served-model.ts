/** One artifact version in service: its levels, its threads, its queue, and what has been measured of it. */
import type { Logger } from 'pino';
import { SppError } from '../../../schema/errors.ts';
import type { Manifest } from '../../../schema/manifest.ts';
import type { NodeReport } from '../../../schema/node-report.ts';
import { lengthBucket, sequencePorts } from '../../../schema/sequence-length.ts';
import type { SpawnThread } from '../execution/asked-thread.ts';
import { type JobResult, scheduler, type Waiting } from '../execution/scheduler.ts';
import { workerPool } from '../execution/worker-pool.ts';
import { edfQueue } from '../queue/edf-queue.ts';
import { type PackedInputs, zeroInputs } from '../tensors.ts';
import { before } from './before.ts';
import { latencyWindows } from './latency-window.ts';
import { levelCache } from './level-cache.ts';
import { mayCome } from './level-fault.ts';
import { levelMeasurement } from './level-measurement.ts';
import type { LevelModels, SizedLevel } from './level-models.ts';
import { modelTrial } from './model-trial.ts';
import { pacedTimes } from './paced-times.ts';
import { packedLevel } from './packed-level.ts';
import { lengthOf } from './padding.ts';
import { keepTimes, type ProfileFile } from './profile-file.ts';
import { reloading } from './reloading.ts';
import { manifestShares, shareKey, sizesUpTo } from './sharing.ts';

export interface ServedModelOptions {
  readonly source: LevelModels;
  readonly workers: number;
  readonly ep: string;
  readonly queueLimit: number;
  /** See `PoolOptions`. */
  readonly lingerMs: number;
  /** Most rows of requests that share a run. */
  readonly maxBatch: number;
  readonly memoryBudgetBytes: number;
  /** Whether the sparse levels of an artifact that comes from elsewhere are served before all of it is there. */
  readonly progressive: boolean;
  /** See `MeasurementOptions`; false unless told. */
  readonly whole?: boolean;
  /** Where measured times outlive the process. */
  readonly profiles?: ProfileFile | undefined;
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
  /** See `ModelTrial`. */
  readonly rowsMeet: boolean;
  readonly queueLength: number;
  readonly inFlight: number;
  readonly residentLevels: number;
  /** What the levels in memory take of the budget. */
  readonly levelBytes: number;
  /** Whether a level can be expected to answer at once: it was not found damaged when last tried, and is not still to come. */
  serves(level: number): boolean;
  /** @throws `unknown-level`, `level-unavailable`, and what the scheduler rejects with */
  infer(request: LevelRequest): Promise<JobResult>;
  /** See `LevelMeasurement`. */
  measure(onUsable?: () => void): Promise<void>;
  report(): NodeReport['models'][number];
  /** Refuses what waits and ends the threads. Safe to call again. */
  close(): Promise<void>;
}

const MEASURE_BUDGET_MS = 8000;
/** Between looks at which level is worth packing, and which sessions threads lack. */
const UPKEEP_MS = 1000;
/** Lengths of sequences that levels are measured at, as far as the model takes them. */
const LENGTHS = [16, 64, 256];
/** Runs of a level alone, from before, with which it counts as known. */
const KNOWN_RUNS = 16;
const NOTHING: ReadonlySet<string> = new Set();

export function servedModel(options: ServedModelOptions): ServedModel {
  const { source, workers, ep, log } = options;
  const { manifest } = source;
  const progressive = options.progressive && source.remote;
  const denseLevel = manifest.levels.length - 1;
  const shareableSizes = manifestShares(manifest) ? sizesUpTo(options.maxBatch) : [];
  const windows = latencyWindows(ep, 1, [1, ...shareableSizes]);
  const paced = pacedTimes(windows);
  const kept = keepTimes(options.profiles, windows, log);
  const pool = workerPool({
    size: workers,
    ep,
    lingerMs: options.lingerMs,
    onChange: () => jobs.pump(),
    onLost: (reason) => log.error({ reason }, 'a worker thread was lost and is replaced'),
    ...(options.spawn ? { spawn: options.spawn } : {}),
  });
  const sequences = new Set(sequencePorts(manifest.inputs).map(({ name }) => name));
  const trial = modelTrial(
    manifest,
    shareableSizes.length > 0,
    async (level, inputs) => (await runTrial(level, inputs)).outputs,
    log,
  );
  const rules = {
    maxRows: options.maxBatch,
    times: paced.times,
    atHand: (level: number) => cache.has(level),
  };
  const jobs = scheduler(edfQueue<Waiting>(options.queueLimit), pool, rules, trial.padded);
  const cache = levelCache({
    source,
    budgetBytes: options.memoryBudgetBytes,
    onEvict: (level) => {
      pool.unload(level);
      source.keep(cache.levels());
    },
    onUnpack: () => packed.drop(),
    now: () => performance.now(),
  });
  let closed = false;
  /** Levels that have been there, if only once. */
  const arrived = new Set<number>();

  const packed = packedLevel({
    source,
    pool,
    cache,
    // Before anything has run, the dense level is the one that most will ask for.
    first: denseLevel,
    isQuiet: () => jobs.queueLength === 0,
    inputs: (rows) => zeroInputs(manifest.inputs, rows, trial.size).feeds,
  });
  /** The levels beside the one that runs most come before anybody steps to them, as far as there is room. */
  const preload = async () => {
    const focus = packed.choice;
    const near = [focus - 1, focus + 1].filter((level) => level in manifest.levels);
    for (const level of near) {
      // Files that are still coming from elsewhere come in their own order.
      if (closed || !arrived.has(level)) continue;
      const model = await cache.preload(level, new Set([focus, ...near]));
      if (model !== undefined) pool.expect(model);
    }
  };

  const tick = setInterval(() => {
    preload()
      .then(() => (closed ? undefined : packed.keep()))
      .catch((error: unknown) => log.warn({ err: error }, 'levels could not be looked after'));
  }, UPKEEP_MS);
  tick.unref();

  /** The level asked for once it is there; where time counts and a sparser one is allowed, the densest that is there already. */
  const atHand = ({
    level,
    minLevel,
    deadlineMs,
    signal,
  }: LevelRequest): SizedLevel | Promise<SizedLevel> => {
    const there = cache.peek(level);
    if (there !== undefined) return there;
    if (deadlineMs !== undefined)
      for (let sparser = level - 1; sparser >= minLevel; sparser--) {
        const model = cache.peek(sparser);
        if (model === undefined) continue;
        // It may be there for the next request; why it is not is told to those who can have no other.
        cache.get(level).catch(() => {});
        return model;
      }
    return before(deadlineMs, signal, cache.get(level));
  };

  const infer = async (request: LevelRequest) => {
    const { inputs, outputs } = request;
    const length = lengthBucket(lengthOf(sequences, inputs.feeds));
    const result = await reloading(cache, async (using) => {
      const found = atHand(request);
      // A level that is there, as nearly all are, takes no turn.
      const model = found instanceof Promise ? await found : found;
      const { level } = model;
      return await jobs.submit({
        level,
        minLevel: request.minLevel,
        rows: inputs.batch,
        length,
        shareKey: trial.shares
          ? shareKey(inputs, outputs, length === 0 ? NOTHING : trial.padded.inputs, length)
          : undefined,
        feeds: inputs.feeds,
        outputs,
        model: (other) => using(other === level ? model : cache.peek(other)),
        deadlineMs: request.deadlineMs,
        signal: request.signal,
      });
    });
    if (result.leads) packed.record(result.level, result.runMs, result.runRows);
    if (result.leads && result.loadMs === 0) record(result, result.runRows, length);
    return result;
  };

  const record = ({ level, runMs, executeMs, behindMs }: JobResult, rows: number, length: number) => {
    paced.record(level, rows, runMs, length);
    // Who has a deadline is not handed over before its turn.
    if (behindMs === 0) windows.recordHandover(executeMs - runMs);
  };

  const runTrial = (level: number, inputs: PackedInputs) =>
    reloading(cache, async (using) => {
      const model = await cache.get(level);
      arrived.add(level);
      await packed.settle(level);
      return jobs.submit({
        level,
        minLevel: level,
        rows: inputs.batch,
        length: lengthBucket(lengthOf(sequences, inputs.feeds)),
        shareKey: undefined,
        feeds: inputs.feeds,
        outputs: manifest.outputs.map((port) => port.name),
        model: () => using(model),
        deadlineMs: undefined,
      });
    });

  /** Settles when a level is there, or will not come. */
  const prefetch = async (level: number) => void (await cache.get(level).catch(() => {}));

  const measurement = levelMeasurement({
    manifest,
    workers,
    progressive,
    whole: options.whole ?? false,
    sizes: shareableSizes,
    size: () => trial.size,
    lengths: sequences.size > 0 ? LENGTHS : [],
    isLost: (level) => cache.faultOf(level) !== undefined,
    isKnown: (level) => windows.restoredRuns(level) >= KNOWN_RUNS,
    prefetch,
    budgetMs: options.measureBudgetMs ?? MEASURE_BUDGET_MS,
    log,
    run: runTrial,
    record,
    onUnshareable: trial.refuse,
    isClosed: () => closed,
  });

  const mend = async () => {
    const { changed, lost } = await source.mend();
    if (!changed || closed) return;
    packed.renew();
    for (const level of cache.levels()) {
      const model = cache.peek(level);
      if (model !== undefined) cache.discard(model);
      pool.unload(level);
    }
    for (const [level, error] of lost) cache.fail(level, error);
  };

  let restored: Promise<void> | undefined;
  const measure = async (onUsable?: () => void) => {
    restored ??= kept.restore(denseLevel);
    await restored;
    // A disk that cannot be looked at keeps nobody from what is in memory.
    await mend().catch((error: unknown) => log.warn({ err: error }, 'weights on disk cannot be looked at'));
    // The next level comes while the first is tried.
    if (progressive && denseLevel > 0) await prefetch(0).then(() => void prefetch(1));
    await trial.try();
    if (await measurement.measure(onUsable)) await kept.save();
  };

  let closing: Promise<void> | undefined;
  const close = async () => {
    closed = true;
    clearInterval(tick);
    kept.stop();
    jobs.close(
      new SppError('draining', 'The node is shutting down.', { hint: 'Ask another node.', retryAfterS: 1 }),
    );
    await pool.close();
    if (arrived.size > 0) await kept.save();
    await source.close();
  };

  return {
    manifest,
    denseLevel,
    get defaultLevel() {
      const isComing = progressive && !arrived.has(denseLevel) && mayCome(cache.faultOf(denseLevel));
      return isComing && arrived.size > 0 ? Math.max(...arrived) : denseLevel;
    },
    get rowsMeet() {
      return trial.rowsMeet;
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
    serves: (level) =>
      level in manifest.levels &&
      cache.faultOf(level) === undefined &&
      (!progressive || arrived.has(level) || cache.has(level)),
    infer,
    measure,
    report: () => ({
      model: manifest.model.id,
      artifactVersion: manifest.model.version,
      // A level found damaged is left out, so that nobody sends requests for it.
      levels: manifest.levels
        .filter(({ level }) => cache.faultOf(level) === undefined)
        .map(({ level }) => {
          const lengthProfiles = windows.lengthProfiles(level).map(paced.atPresent);
          return {
            level,
            resident: cache.has(level),
            profiles: windows.profiles(level).map(paced.atPresent),
            ...(lengthProfiles.length > 0 ? { lengthProfiles } : {}),
          };
        }),
    }),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
