/**
 * The selector inside workerd, the runtime that it is deployed in: how long a decision takes for a fleet of 100 nodes with
 * 16 levels each, over requests and states of the fleet of all kinds. workerd's clock ticks in whole milliseconds, so each
 * input is decided many times in a row and its mean counts; quantiles are over the inputs.
 *
 *   npm run bench:selector -- [--nodes 100] [--levels 16] [--inputs 300] [--repeats 2000] [--json]
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Miniflare } from 'miniflare';
import type { SelectorBench, SelectorTimes } from './bench-selector/worker.ts';
import { bundleModule } from './local/bundle-worker.ts';
import { COMPATIBILITY_DATE } from './local/local-gateway.ts';

const { values: flags } = parseArgs({
  options: {
    nodes: { type: 'string', default: '100' },
    levels: { type: 'string', default: '16' },
    inputs: { type: 'string', default: '300' },
    repeats: { type: 'string', default: '2000' },
    json: { type: 'boolean', default: false },
  },
});
const bench: SelectorBench = {
  nodes: Number(flags.nodes),
  levels: Number(flags.levels),
  inputs: Number(flags.inputs),
  repeats: Number(flags.repeats),
};
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
  process.stdout.write(flags.json ? `${JSON.stringify({ ...bench, times })}\n` : report(times));
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
