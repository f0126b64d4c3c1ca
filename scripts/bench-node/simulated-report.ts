/** The batcher's choices on the loads that `burst` puts on a node, in simulated time: ours, every static level, and the sparsest. */

import { mean, rounded } from '../local/statistics.ts';
import { dayShape, gammaArrivals, uniforms } from './arrivals.ts';
import { evenShares, madeUpQuality } from './random-vit.ts';
import { type SimulatedMachine, simulateBurst } from './simulated-burst.ts';

export interface SimulatedOptions {
  readonly workers: number;
  /** Which the workers share with the node's main thread and the client. */
  readonly cores: number;
  /** Whether threads that run leave their core to others at once, as the node's do. */
  readonly yields: boolean;
  readonly maxBatch: number;
  readonly seconds: number;
  /** Mean load, as a share of what the dense level holds. */
  readonly load: number;
  readonly levels: number;
  /** Of one row at the dense level, in ms. */
  readonly denseMs: number;
  /** Share of that which a level without any units would take. */
  readonly fixed: number;
  /** Runs take longer by a share up to this. */
  readonly noise: number;
  /** How many times as long runs take in every second stretch of two seconds. */
  readonly slowness: number;
  /** Of a second: stretches of some `SPELL_MS` at which runs take `SPELL` times as long, as on a machine that others have part of. */
  readonly spells: number;
  /** Share of one core that other processes take. */
  readonly others: number;
  /** How often a second the whole machine stands still for some tens of milliseconds. */
  readonly stalls: number;
  /** Multiples of what one row usually takes at the dense level. */
  readonly budgets: readonly number[];
  /** Of when requests come, and what disturbs them. */
  readonly seed: number;
}

/** As two cores run a random vit-small32 whose dense row takes 2.6 ms. */
export const USUAL_MACHINE = {
  ...{ workers: 2, cores: 2, yields: true, maxBatch: 8, load: 1.3, levels: 12, denseMs: 2.6, fixed: 0.12 },
  ...{ noise: 0.5, slowness: 1, spells: 0, others: 0, stalls: 0 },
} satisfies Partial<SimulatedOptions>;

/** Of each run, whatever its rows; what the main thread and the client take for a request: measured with random vit-small32. */
const RUN_MS = 0.3;
const READ_MS = 0.15;
const ANSWER_MS = 0.13;
const CLIENT_MS = 0.08;
const SLICE_MS = 3;
const SPELL_MS = 80;
const SPELL = 2.5;

export function simulatedBursts(options: SimulatedOptions) {
  const {
    workers,
    cores,
    yields,
    maxBatch,
    seconds,
    load,
    levels,
    denseMs,
    fixed,
    noise,
    slowness,
    spells,
    others,
    stalls,
    budgets: multiples,
    seed,
  } = options;
  const shares = evenShares(levels, 0.1);
  const dense = levels - 1;
  const inSpell = slowSpells(spells, 29 + seed);
  const machine: SimulatedMachine = {
    threads: workers,
    cores,
    sliceMs: SLICE_MS,
    yields,
    readMs: READ_MS,
    answerMs: ANSWER_MS,
    clientMs: CLIENT_MS,
    maxRows: maxBatch,
    noise,
    others,
    stalls,
    seed,
    slowness: (atMs) => (Math.floor(atMs / 2000) % 2 === 0 ? 1 : slowness) * (inSpell(atMs) ? SPELL : 1),
    runMs: (level, rows) => RUN_MS + denseMs * (fixed + (1 - fixed) * (shares[level] ?? 1)) * rows,
  };
  const typical = 1 + noise / 2;
  /** Of a core, for one request in a whole batch. */
  const workMs = (machine.runMs(dense, maxBatch) * typical) / maxBatch;
  const ratePerS =
    load * 1000 * Math.min(workers / workMs, cores / (workMs + READ_MS + ANSWER_MS + CLIENT_MS));
  const budgetsMs = multiples.map((times) => times * machine.runMs(dense, 1) * typical);
  const loads = [
    ...[1, 4, 8].map((cv2) => ({
      name: `CV^2 ${cv2}`,
      arrivals: gammaArrivals(cv2 + seed, ratePerS, cv2, seconds),
    })),
    { name: 'a day', arrivals: gammaArrivals(11 + seed, ratePerS, 2, 2 * seconds, dayShape) },
  ];
  return loads.map(({ name, arrivals }) => {
    const uniform = uniforms(7);
    const budgets = arrivals.map(() => budgetsMs[Math.floor(uniform() * budgetsMs.length)] ?? 0);
    const of = (level: number, minLevel: number) => {
      const asked = arrivals.map((atMs, i) => ({ atMs, budgetMs: budgets[i] ?? 0, level, minLevel }));
      const kept = simulateBurst(machine, asked).filter(({ inTime }) => inTime);
      return {
        attainment: rounded(kept.length / arrivals.length, 4),
        meanQuality: rounded(mean(kept.map((one) => madeUpQuality(shares[one.level] ?? 1))), 4),
      };
    };
    const ours = of(dense, 0);
    const statics = shares.map((_, level) => ({ level, ...of(level, level) }));
    const best = statics.findLast(({ attainment }) => attainment >= ours.attainment);
    return { load: name, requests: arrivals.length, ours, sparsest: statics[0], best };
  });
}

/** Whether a time lies in one of so many stretches a second, which come at random and last a random time. */
function slowSpells(perS: number, seed: number): (atMs: number) => boolean {
  if (perS === 0) return () => false;
  const uniform = uniforms(seed);
  const exponential = (meanMs: number) => -meanMs * Math.log(uniform());
  const spells: { fromMs: number; toMs: number }[] = [];
  return (atMs) => {
    for (let lastMs = spells.at(-1)?.toMs ?? 0; lastMs <= atMs; lastMs = spells.at(-1)?.toMs ?? lastMs) {
      const fromMs = lastMs + exponential(1000 / perS);
      spells.push({ fromMs, toMs: fromMs + exponential(SPELL_MS) });
    }
    return spells.some(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs);
  };
}

export function simulatedReport(results: ReturnType<typeof simulatedBursts>): string {
  const pair = (one: { attainment: number; meanQuality: number } | undefined) =>
    one === undefined ? 'none' : `${one.attainment.toFixed(4)} at ${one.meanQuality.toFixed(4)}`;
  return [
    'attained at mean quality:',
    '',
    'load       ours               sparsest level     best static level that attains as much',
    ...results.map(
      ({ load, ours, sparsest, best }) =>
        `${load.padEnd(9)}  ${pair(ours)}   ${pair(sparsest)}   ${best === undefined ? 'none' : `${best.level}: ${pair(best)}`}`,
    ),
    '',
  ].join('\n');
}
