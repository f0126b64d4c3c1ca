/**
 * How long the way to a node and back takes, learned by how much goes over it. Sizes are taken together in classes, each twice
 * the one before. What is known of a class too little to go by is made up for by the next smaller one and by what bytes were
 * last seen to cost, of the smallest by the round trips of reports.
 *
 *   ms |                    x····      x  known: median, p95, p99 of a class
 *      |         x······x···           ·  in proportion between them, and beyond the last by what a byte costs
 *      |  x······
 *      +--------------------------- bytes
 *
 * Where all bodies are of one size, that comes to the quantiles of their times, as if there were no sizes.
 */
import { type NetworkTimes, type SizedTimes, usualWayMs, waysAt } from '../selector/network-times.ts';
import type { TimeQuantiles } from '../selector/quantiles.ts';
import { decayingHistogram } from './decaying-histogram.ts';
import { type DecayingMean, decayingMean } from './decaying-mean.ts';
import { mixed } from './mixed-times.ts';
import { rising } from './rising.ts';

export interface NetworkBySize {
  /** Round trip of a report. */
  recordProbe(ms: number, nowMs: number): void;
  /** @param bytes of request and answer together */
  record(bytes: number, ms: number, nowMs: number): void;
  /**
   * What was still coming from its client: it took no longer than that, and counts only where it is less than what is known. Else a size
   * that is always handed on as it comes would never be found to be quick.
   */
  recordAtMost(bytes: number, ms: number, nowMs: number): void;
  /** Empty before the first of either. No shorter for larger sizes. */
  times(nowMs: number): NetworkTimes;
  /** With hardly anything to carry, where nothing is in the way; 0 before anything small went over it. */
  quickestMs(): number;
}

/** What fits into a few packets takes as long as nothing. */
const SMALL_BYTES = 4096;
/** Beyond all bodies: where the last known times are drawn on to. */
const END_BYTES = 2 ** 32;
/** Most of the others were held up by something. */
const QUICK = 0.1;
/** From this weight on a class speaks for itself. */
const ENOUGH = 5;
/** What a byte costs before anything was measured: ten gigabits a second. Too quick a guess is found out by the first bodies. */
const SEED_MS_PER_BYTE = 8e-7;
/** The seed counts as if measured over so many bytes: a millisecond between near sizes says nothing of far ones. */
const SEED_BYTES = 128 * 1024;

interface SizeClass {
  readonly times: ReturnType<typeof decayingHistogram>;
  readonly bytes: DecayingMean;
}

interface Known extends SizedTimes {
  /** Of what was sent; a class that only reports tell of has none. */
  readonly weight: number;
  /** Enough was seen, be it reports. */
  readonly sure: boolean;
}

export function networkBySize(halfLifeMs: number): NetworkBySize {
  const probes = decayingHistogram(halfLifeMs);
  /** By `classOf`. */
  const classes: (SizeClass | undefined)[] = [];
  let msPerByte = SEED_MS_PER_BYTE;

  const small = (nowMs: number): Known | undefined => {
    const [probed, live] = [probes.quantiles(), classes[0]?.times.quantiles()];
    const [weight, probesWeight] = [classes[0]?.times.weight(nowMs) ?? 0, probes.weight(nowMs)];
    const times =
      live === undefined || probed === undefined ? (live ?? probed) : mixed(live, probed, shareOf(weight));
    return times && { bytes: SMALL_BYTES, ...times, weight, sure: weight + probesWeight >= ENOUGH };
  };

  /** The smallest first. */
  const known = (nowMs: number): Known[] => {
    const first = small(nowMs);
    const all = first === undefined ? [] : [first];
    for (const sizes of classes.slice(1)) {
      const live = sizes?.times.quantiles();
      if (sizes === undefined || live === undefined) continue;
      const bytes = sizes.bytes.mean();
      const weight = sizes.times.weight(nowMs);
      const before = all.at(-1);
      const times =
        before === undefined
          ? live
          : mixed(live, later(before, msPerByte * (bytes - before.bytes)), shareOf(weight));
      all.push({ bytes, ...times, weight, sure: weight >= ENOUGH });
    }
    return all;
  };

  const learnBytes = (all: readonly Known[]) => {
    const [first, last] = [all.find(({ sure }) => sure), all.findLast(({ sure }) => sure)];
    if (first === undefined || last === undefined || first === last) return;
    const costMs = last.p50Ms - first.p50Ms + SEED_MS_PER_BYTE * SEED_BYTES;
    msPerByte = costMs / (last.bytes - first.bytes + SEED_BYTES);
  };

  const record = (bytes: number, ms: number, nowMs: number) => {
    const index = classOf(bytes);
    const sizes = classes[index] ?? {
      times: decayingHistogram(halfLifeMs),
      bytes: decayingMean(halfLifeMs),
    };
    classes[index] = sizes;
    sizes.times.record(ms, nowMs);
    sizes.bytes.record(bytes, nowMs);
  };

  const times = (nowMs: number): NetworkTimes => {
    const all = ordered(known(nowMs));
    learnBytes(all);
    const last = all.at(-1);
    if (last === undefined) return [];
    return [
      ...all.map(({ bytes, p50Ms, p95Ms, p99Ms }) => ({ bytes, p50Ms, p95Ms, p99Ms })),
      { bytes: END_BYTES, ...later(last, msPerByte * (END_BYTES - last.bytes)) },
    ];
  };

  return {
    recordProbe: (ms, nowMs) => probes.record(ms, nowMs),
    record,
    recordAtMost(bytes, ms, nowMs) {
      if (ms < usualWayMs(waysAt(times(nowMs), 0.5), bytes)) record(bytes, ms, nowMs);
    },
    times,
    quickestMs() {
      const quick = [probes, classes[0]?.times].map((seen) => seen?.quantile(QUICK) ?? Number.NaN);
      const known = quick.filter((ms) => !Number.isNaN(ms));
      return known.length === 0 ? 0 : Math.min(...known);
    },
  };
}

/** 0: up to 4 KiB; 1: up to 8 KiB, and so on. */
function classOf(bytes: number): number {
  if (!(bytes > SMALL_BYTES)) return 0;
  return Math.ceil(Math.log2(Math.min(bytes, END_BYTES / 2) / SMALL_BYTES));
}

function shareOf(weight: number): number {
  return Math.min(1, weight / ENOUGH);
}

function later({ p50Ms, p95Ms, p99Ms }: TimeQuantiles, ms: number): TimeQuantiles {
  return { p50Ms: p50Ms + ms, p95Ms: p95Ms + ms, p99Ms: p99Ms + ms };
}

/** A class counts as much as was seen of it. */
function ordered(all: readonly Known[]): Known[] {
  const weights = all.map(({ weight }) => weight);
  const [p50s, p95s, p99s] = [
    rising(
      all.map(({ p50Ms }) => p50Ms),
      weights,
    ),
    rising(
      all.map(({ p95Ms }) => p95Ms),
      weights,
    ),
    rising(
      all.map(({ p99Ms }) => p99Ms),
      weights,
    ),
  ];
  return all.map((entry, at) => ({
    ...entry,
    p50Ms: p50s[at] ?? entry.p50Ms,
    p95Ms: p95s[at] ?? entry.p95Ms,
    p99Ms: p99s[at] ?? entry.p99Ms,
  }));
}
