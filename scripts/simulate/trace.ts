/** Arrivals and what befalls the nodes, made up from a seed: bursts over a calm stream, one node slow, one that comes and goes. */
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

export interface Arrival {
  readonly atMs: number;
  readonly budgetMs: number;
  /** Of the request's body. */
  readonly bytes: number;
}

export interface Machine {
  readonly name: string;
  readonly workers: number;
  /** Execution takes this many times as long as on the first. */
  readonly slowness: number;
  /** Whether it answers at this time. */
  readonly up: (atMs: number) => boolean;
}

export interface Trace {
  readonly arrivals: readonly Arrival[];
  readonly machines: readonly Machine[];
}

const BUDGETS_MS = [15, 25, 40, 80, 200];
/** Requests a second in the calm, and how many times that in a burst. */
const CALM_PER_S = 40;
const BURST = 3;
const BURST_EVERY_MS = 10_000;
const BURST_MS = 2500;
/** The flapping node: down for so long in each period. */
const FLAP_EVERY_MS = 9000;
const FLAP_DOWN_MS = 3000;
const SMALL_BODY_BYTES = 3000;
/** An image of 224 x 224 in FP32. */
const LARGE_BODY_BYTES = 588 * 1024;
/** Draws after which nothing of the seed shows. */
const WARM_UP = 20;

/** Neighbouring seeds give unlike numbers: the generator by itself begins alike for them. */
export function randomOf(seed: number): () => number {
  let mixed = Math.imul(seed ^ (seed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  const generator = xoroshiro128plus(mixed ^ (mixed >>> 16));
  for (let i = 0; i < WARM_UP; i++) generator.next();
  return () => (generator.next() >>> 0) / 2 ** 32;
}

export interface TraceScale {
  /** Requests a second between bursts. */
  readonly calmPerS?: number;
  /** What budgets are multiplied by. */
  readonly budgetScale?: number;
  /** Of each node. */
  readonly workers?: number;
  /** Of the requests, those with an image in the body; the others have next to nothing. */
  readonly largeShare?: number;
}

export function burstyTrace(
  seed: number,
  durationMs: number,
  { calmPerS = CALM_PER_S, budgetScale = 1, workers = 2, largeShare = 0 }: TraceScale = {},
): Trace {
  const random = randomOf(seed);
  const sizes = randomOf(seed + 1);
  const arrivals: Arrival[] = [];
  for (let atMs = 0; atMs < durationMs; ) {
    const perS = calmPerS * (atMs % BURST_EVERY_MS < BURST_MS ? BURST : 1);
    atMs += (-Math.log(1 - random()) * 1000) / perS;
    const budgetMs = budgetScale * (BUDGETS_MS[Math.floor(random() * BUDGETS_MS.length)] as number);
    const bytes = sizes() < largeShare ? LARGE_BODY_BYTES : SMALL_BODY_BYTES;
    arrivals.push({ atMs, budgetMs, bytes });
  }
  const machines: Machine[] = [
    { name: 'steady', workers, slowness: 1, up: () => true },
    { name: 'slow', workers, slowness: 3, up: () => true },
    { name: 'flapping', workers, slowness: 1, up: (atMs) => atMs % FLAP_EVERY_MS >= FLAP_DOWN_MS },
  ];
  return { arrivals, machines };
}
