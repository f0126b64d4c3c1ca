/**
 * Bursts on three nodes, of which one is slow and one comes and goes, in simulated time: the production selector and what
 * it learns, beside simpler ways to route.
 *
 *   npm run simulate -- [--seconds 300] [--seed 1] [--chart FILE.svg] [--json]
 *   npm run simulate -- --large 0.5                 half of the requests with an image in the body
 *   npm run simulate -- --real [--seconds 40] ...   the same on three node processes behind the gateway in workerd
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import type { PriceOf } from '../gateway/selector/candidates.ts';
import { count, positive, share } from './local/flag-numbers.ts';
import { writeRoutingChart } from './simulate/chart.ts';
import { replay } from './simulate/real.ts';
import { routers } from './simulate/routers.ts';
import { type Outcome, type SimulatedLevel, simulate } from './simulate/run.ts';
import { burstyTrace } from './simulate/trace.ts';

const flags = new Command('npm run simulate --')
  .description(
    'bursts on three nodes, of which one is slow and one comes and goes: ours beside simpler ways to route',
  )
  .option('--seconds <s>', 'of the trace (default: 300 in simulated time, 40 in real time)', positive)
  .option('--real', 'on three node processes behind the gateway in workerd', false)
  .option(
    '--cores <n>',
    'that the nodes share, of one worker each, in simulated time (default: each worker has its own)',
    positive,
  )
  .option('--large <share>', 'of the requests, with 588 KiB in the body, in simulated time', share, 0)
  .option('--seed <n>', 'of the trace', count(0), 1)
  .option('--chart <file>', 'draws time and quality into an SVG file')
  .option('--json', 'print one JSON object', false)
  .parse()
  .opts<{
    seconds?: number;
    real: boolean;
    cores?: number;
    large: number;
    seed: number;
    chart?: string;
    json: boolean;
  }>();

/** A path such as a small vision transformer has: quality falls slowly at first, time in proportion to the FLOPs. */
const levels: SimulatedLevel[] = [0.87, 0.93, 0.95, 0.96, 0.965, 0.97].map((quality, level) => {
  const flops = 0.2 + 0.16 * level;
  return { level, quality, sparsity: 1 - flops, flops, executeMs: 25 * flops };
});
/** On shared cores, as on real nodes: dense answers take 0.4 of a core in the calm. */
const SHARED = { calmPerS: 16, workers: 1 };
/** One micro-dollar for each begun millisecond. */
const priceOf: PriceOf = () => ({ fixedNanoUsd: 0, perMsNanoUsd: 1000, perKiBNanoUsd: 0 });

const { seed } = flags;
const outcomes = flags.real
  ? await replay({
      directory: join(tmpdir(), 'spp-bench'),
      seconds: flags.seconds ?? 40,
      seed,
      log: (line) => process.stderr.write(`${line}\n`),
    })
  : await simulated(flags.seconds ?? 300);
process.stdout.write(flags.json ? `${JSON.stringify(outcomes)}\n` : report(outcomes));
if (flags.chart !== undefined) await writeRoutingChart(flags.chart, outcomes);
if (flags.real) process.exit(0);

async function simulated(seconds: number): Promise<Record<string, Outcome>> {
  const trace = burstyTrace(seed, seconds * 1000, {
    ...(flags.cores === undefined ? {} : SHARED),
    largeShare: flags.large,
  });
  const nodes = trace.machines.map(({ name }) => name);
  const outcomes: Record<string, Outcome> = {};
  for (const [name, router] of Object.entries(routers(levels, nodes)))
    outcomes[name] = await simulate(trace, levels, priceOf, router, seed, flags.cores);
  return outcomes;
}

function report(of: Readonly<Record<string, Outcome>>): string {
  const percent = (share: number) => (100 * share).toFixed(1).padStart(10);
  const rows = Object.entries(of).map(
    ([name, { attainment, meanQuality, deliveredQuality, meanCostMicroUsd }]) =>
      `${name.padEnd(22)}${percent(attainment)}${percent(meanQuality)}${percent(deliveredQuality)}${meanCostMicroUsd.toFixed(1).padStart(10)}`,
  );
  return [
    `${Object.values(of)[0]?.requests} requests, seed ${seed}; quality and attainment in %, cost in micro-dollars an answer`,
    `${''.padEnd(22)}  in time   quality delivered      cost`,
    ...rows,
    ...byBudget(of),
    '',
  ].join('\n');
}

/** Where it was looked at: which budgets are kept. */
function byBudget(of: Readonly<Record<string, Outcome>>): string[] {
  const [first] = Object.values(of);
  if (first?.byBudget === undefined) return [];
  const line = (name: string, values: readonly (number | undefined)[], digits: number) =>
    name.padEnd(22) + values.map((value) => (value ?? Number.NaN).toFixed(digits).padStart(10)).join('');
  const rows = Object.entries(of).map(([name, { byBudget = [] }]) =>
    line(
      name,
      byBudget.map(({ attainment }) => 100 * attainment),
      1,
    ),
  );
  const budgets = first.byBudget.map(({ budgetMs }) => budgetMs);
  return ['', line('in time by budget, ms', budgets, 1), ...rows];
}
