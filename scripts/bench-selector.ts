/**
 * The selector inside workerd, the runtime that it is deployed in: how long a decision takes for a fleet of 100 nodes with
 * 16 levels each, over requests and states of the fleet of all kinds. workerd's clock ticks in whole milliseconds, so each
 * input is decided many times in a row, whose mean is what a round says of it; quantiles are over the inputs, of each the median
 * of its rounds.
 *
 *   npm run bench:selector -- [--nodes 100] [--levels 16] [--inputs 300] [--repeats 500] [--rounds 5] [--json]
 */
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { Miniflare } from 'miniflare';
import type { SelectorBench, SelectorTimes } from './bench-selector/worker.ts';
import { bundleModule } from './local/bundle-worker.ts';
import { count } from './local/flag-numbers.ts';
import { COMPATIBILITY_DATE } from './local/local-gateway.ts';

const { json, ...bench } = new Command('npm run bench:selector --')
  .description('how long a decision takes in workerd, for a made-up fleet')
  .option('--nodes <n>', 'of the fleet', count(1), 100)
  .option('--levels <n>', 'that each node serves', count(1), 16)
  .option('--inputs <n>', 'requests and states of the fleet, which the quantiles are over', count(1), 300)
  .option('--repeats <n>', 'decisions on each of them in a round, whose mean counts', count(1), 500)
  .option('--rounds <n>', 'through all inputs; of each the median counts', count(1), 5)
  .option('--json', 'print one JSON object', false)
  .parse()
  .opts<SelectorBench & { json: boolean }>();
const miniflare = new Miniflare({
  modules: true,
  script: await bundleModule(fileURLToPath(new URL('./bench-selector/worker.ts', import.meta.url))),
  compatibilityDate: COMPATIBILITY_DATE,
  cf: false,
});
try {
  const response = await miniflare.dispatchFetch('http://bench/', {
    method: 'POST',
    body: JSON.stringify(bench),
  });
  const times = (await response.json()) as Readonly<Record<string, SelectorTimes>>;
  process.stdout.write(json ? `${JSON.stringify({ ...bench, times })}\n` : report(times));
} finally {
  await miniflare.dispose();
}

function report(times: Readonly<Record<string, SelectorTimes>>): string {
  const rows = Object.entries(times).map(
    ([what, { p50, p99, max }]) =>
      `${what.padEnd(44)}${[p50, p99, max].map((us) => us.toFixed(1).padStart(9)).join('')}`,
  );
  return [
    `${bench.nodes} nodes x ${bench.levels} levels in workerd; microseconds, over ${bench.inputs} inputs`,
    `${''.padEnd(44)}      p50      p99      max`,
    ...rows,
    '',
  ].join('\n');
}
