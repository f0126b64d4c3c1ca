/**
 * What the gateway has measured of one node: the way there and back by size (`network-by-size.ts`), how long requests wait there beyond what its load
 * explains, and execution times by level, batch size and, where the node measures by it, length of sequences. What the node reports of itself holds until enough was measured.
 *
 * Measuring only what came back would flatter a slow node, since what takes too long is cut off and never comes back. So
 * a request that was cut off counts with the time it had been given: too little, but never nothing.
 *
 * A machine that slows down slows all its levels down, and of each of them few requests come: how much slower than reported the
 * latest runs were, whatever their level, corrects what the node reports of all (`slowness.ts`).
 * The runtime's clock ticks in whole milliseconds: a single sample is off by up to one, many are not biased.
 */
import type { BatchTimes } from '../selector/candidates.ts';
import type { NetworkTimes } from '../selector/network-times.ts';
import type { TimeQuantiles } from '../selector/quantiles.ts';
import { type DecayingHistogram, decayingHistogram } from './decaying-histogram.ts';
import { mixed } from './mixed-times.ts';
import { networkBySize } from './network-by-size.ts';
import { measuredSlowness } from './slowness.ts';
import { type LengthTimes, timesAtLength, timesOf } from './times-by-length.ts';

const HALF_LIFE_MS = 15_000;
/** Below this weight measurements say nothing; from the other on they say it alone; between the two they are mixed. */
const SOME = 8;
const ENOUGH = 32;
/** Waits as predicted that an untried node is credited with. */
const PRIOR_WAIT_MS = 200;
const LEAST_SCALE = 0.05;
const MOST_SCALE = 2;
/** Clients choose batch sizes and lengths, so the number of histograms needs a bound: by level, and the models and versions of a node. */
const MAX_BATCHES = 16;
const MAX_BATCHES_OF_LENGTH = 4;
const MAX_ROWS = 256;
const MAX_ARTIFACTS = 16;
const TOGETHER = 64;
/** More than any model has. */
const LEVELS = 2 ** 20;

export interface RequestSample {
  readonly model: string;
  readonly version: string;
  readonly level: number;
  readonly batch: number;
  /** Of its sequences, as nodes put lengths together; 0 where there is none. */
  readonly length: number;
  readonly networkMs: number;
  /** The client was still sending, so that it is the client's way, too. */
  readonly streamed: boolean;
  /** Of the bodies that the way was measured over. */
  readonly requestBytes: number;
  /** 0 where the answer is streamed: what is measured then ends with its head. */
  readonly answerBytes: number;
  /** Waited at the node. */
  readonly queueMs: number;
  /** Of that, what was predicted from its load. */
  readonly expectedQueueMs: number;
  readonly executeMs: number;
}

export interface CutOffSample
  extends Pick<RequestSample, 'model' | 'version' | 'level' | 'batch' | 'length' | 'expectedQueueMs'> {
  /** What of the time it had is neither network nor the wait that was predicted. */
  readonly executeMs: number;
}

export type Artifact = Pick<RequestSample, 'model' | 'version'>;

/** Of one level. */
export interface ReportedTimes {
  readonly profiles: readonly BatchTimes[];
  readonly lengthProfiles?: readonly LengthTimes[] | undefined;
}

export interface MeasuredTimes {
  /** Round trip of a report. */
  recordProbe(ms: number, nowMs: number): void;
  recordRequest(sample: RequestSample, nowMs: number): void;
  /** A request that was cut off. */
  recordCutOff(sample: CutOffSample, nowMs: number): void;
  /** By what goes over it; empty before the first probe. */
  network(nowMs: number): NetworkTimes;
  /** The way there and back with hardly anything to carry, where nothing is in the way. */
  quickestWayMs(): number;
  /**
   * Of the wait that load does not explain; undefined while too little is known.
   * @param busy of requests that had to wait, rather than of those that should have found a worker free
   */
  excessQueue(nowMs: number, busy: boolean): TimeQuantiles | undefined;
  /**
   * How long waits are in proportion to what requests run one after the other would make of them: below 1 where a node
   * runs several together. 1 while nothing has waited.
   */
  waitScale(nowMs: number): number;
  /** Mean execution time of what was sent there lately; undefined while too little is known. */
  serviceMs(nowMs: number): number | undefined;
  /**
   * @param reported what the node says of the level
   * @param length of sequences, as nodes put them together; 0 for any
   * @returns the same, where enough was measured with that instead; over all lengths where the node says nothing by length
   */
  executions(
    artifact: Artifact,
    level: number,
    reported: ReportedTimes,
    length: number,
    nowMs: number,
  ): BatchTimes[];
}

export function measuredTimes(): MeasuredTimes {
  const network = networkBySize(HALF_LIFE_MS);
  const excessIdle = decayingHistogram(HALF_LIFE_MS);
  const excessBusy = decayingHistogram(HALF_LIFE_MS);
  const service = decayingHistogram(HALF_LIFE_MS);
  const waits = waitScale();
  const slowness = measuredSlowness();
  /** By model and version (`nameOf`), level and length (`rowOf`), and batch. */
  const artifacts = new Map<string, Map<number, Map<number, DecayingHistogram>>>();

  const histogram = (artifact: string, level: number, length: number, batch: number) => {
    const rows = bounded(
      artifacts,
      artifact,
      MAX_ARTIFACTS,
      () => new Map<number, Map<number, DecayingHistogram>>(),
    );
    const batches = bounded(rows, rowOf(level, length), MAX_ROWS, () => new Map<number, DecayingHistogram>());
    const most = length === 0 ? MAX_BATCHES : MAX_BATCHES_OF_LENGTH;
    return bounded(batches, batch, most, () => decayingHistogram(HALF_LIFE_MS));
  };
  const recordRun = (run: Run, nowMs: number) => {
    const { level, length, batch, executeMs } = run;
    const artifact = nameOf(run);
    histogram(artifact, level, 0, batch).record(executeMs, nowMs);
    if (length > 0) histogram(artifact, level, length, batch).record(executeMs, nowMs);
    const row = rowOf(level, length);
    // By what it was predicted by: of a node that reports nothing by length, over all of them.
    const known = slowness.knows(artifact, row) ? row : rowOf(level, 0);
    slowness.record(artifact, known, batch, executeMs, nowMs);
  };

  const takeRequest = (sample: RequestSample, nowMs: number) => {
    const { networkMs, streamed, requestBytes, answerBytes, queueMs, expectedQueueMs, executeMs } = sample;
    const hopBytes = requestBytes + answerBytes;
    if (streamed) network.recordAtMost(hopBytes, networkMs, nowMs);
    else network.record(hopBytes, networkMs, nowMs);
    waits.record(queueMs, expectedQueueMs, nowMs);
    const excess = expectedQueueMs > 0 ? excessBusy : excessIdle;
    excess.record(Math.max(0, queueMs - expectedQueueMs), nowMs);
    service.record(executeMs, nowMs);
    recordRun(sample, nowMs);
  };
  const takeCutOff = (sample: CutOffSample, nowMs: number) => {
    const { level, length, batch, executeMs, expectedQueueMs } = sample;
    const times = histogram(nameOf(sample), level, length, batch);
    const usualMs = times.quantiles()?.p50Ms ?? 0;
    // Nobody says whether it waited or ran. Where others stood before it, it waited; less than the usual says nothing.
    if (executeMs <= usualMs) return;
    if (expectedQueueMs > 0 && usualMs > 0) excessBusy.record(executeMs - usualMs, nowMs);
    else recordRun(sample, nowMs);
  };

  /** In order; taken in together, when somebody asks or there are many: one by one it costs each request several times as much. */
  const waiting: ((
    | { readonly answered: RequestSample }
    | { readonly answered: undefined; readonly cutOff: CutOffSample }
  ) & { readonly atMs: number })[] = [];
  const takeIn = () => {
    for (const sample of waiting) {
      if (sample.answered !== undefined) takeRequest(sample.answered, sample.atMs);
      else takeCutOff(sample.cutOff, sample.atMs);
    }
    waiting.length = 0;
  };
  const keep = (sample: (typeof waiting)[number]) => {
    waiting.push(sample);
    if (waiting.length >= TOGETHER) takeIn();
  };

  return {
    recordProbe: (ms, nowMs) => network.recordProbe(ms, nowMs),
    recordRequest: (answered, atMs) => keep({ answered, atMs }),
    recordCutOff: (cutOff, atMs) => keep({ answered: undefined, cutOff, atMs }),
    waitScale(nowMs) {
      takeIn();
      return waits.scale(nowMs);
    },
    network(nowMs) {
      takeIn();
      return network.times(nowMs);
    },
    quickestWayMs() {
      takeIn();
      return network.quickestMs();
    },
    excessQueue(nowMs, busy) {
      takeIn();
      const excess = busy ? excessBusy : excessIdle;
      return excess.weight(nowMs) < SOME ? undefined : excess.quantiles();
    },
    serviceMs(nowMs) {
      takeIn();
      return service.weight(nowMs) < ENOUGH ? undefined : service.mean();
    },
    executions(of, level, { profiles, lengthProfiles }, length, nowMs) {
      takeIn();
      const ofLength =
        length === 0 || lengthProfiles === undefined ? undefined : timesAtLength(lengthProfiles, length);
      const row = rowOf(level, ofLength === undefined ? 0 : length);
      const artifact = nameOf(of);
      const reported = slowness.corrected(artifact, row, ofLength ?? profiles, nowMs);
      const times = new Map(reported.map((entry) => [entry.batch, entry]));
      for (const [batch, measured] of artifacts.get(artifact)?.get(row) ?? []) {
        const weight = measured.weight(nowMs);
        const live = measured.quantiles();
        if (weight < SOME || live === undefined) continue;
        const prior = reported.length === 0 ? live : timesOf(reported, batch);
        times.set(batch, { batch, ...mixed(live, prior, Math.min(1, (weight - SOME) / (ENOUGH - SOME))) });
      }
      return [...times.values()];
    },
  };
}

/** Compares waits with what was predicted at the scale of the moment. */
function waitScale() {
  let [waitedMs, modelledMs, atMs] = [0, 0, 0];
  const decay = (nowMs: number) => 2 ** -(Math.max(0, nowMs - atMs) / HALF_LIFE_MS);
  const scale = (nowMs: number) => {
    const weight = decay(nowMs);
    const ratio = (weight * waitedMs + PRIOR_WAIT_MS) / (weight * modelledMs + PRIOR_WAIT_MS);
    return Math.min(MOST_SCALE, Math.max(LEAST_SCALE, ratio));
  };
  return {
    scale,
    record(queueMs: number, expectedQueueMs: number, nowMs: number) {
      if (!(expectedQueueMs > 0)) return;
      const modelled = expectedQueueMs / scale(nowMs);
      const weight = decay(nowMs);
      waitedMs = weight * waitedMs + queueMs;
      modelledMs = weight * modelledMs + modelled;
      atMs = nowMs;
    },
  };
}

type Run = Artifact & Pick<RequestSample, 'level' | 'batch' | 'length' | 'executeMs'>;

function nameOf({ model, version }: Artifact): string {
  return `${model}/${version}`;
}

/** One number for a level and a length, in the order of lengths. */
function rowOf(level: number, length: number): number {
  return length * LEVELS + level;
}

/** The entry of a key, made if there is none; the one used longest ago goes when there are too many. */
function bounded<K, V>(map: Map<K, V>, key: K, limit: number, make: () => V): V {
  const known = map.get(key);
  // Put behind the others only where one of them may have to go: mostly there are few.
  if (known !== undefined && map.size < limit) return known;
  const entry = known ?? make();
  map.delete(key);
  map.set(key, entry);
  const oldest = map.keys().next().value;
  if (map.size > limit && oldest !== undefined) map.delete(oldest);
  return entry;
}
