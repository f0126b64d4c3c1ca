/**
 * The node under 100,000 requests and 10,000 idle connections: nothing may be left behind.
 *
 *   npm run soak:node [-- --requests N --idle N --artifact DIR]
 *
 * Exit code 1 when the heap after all requests is more than 5 % above that after a tenth of them, or the memory of the process
 * more than 15 % above that after half of them: until then threads and allocators still grow into their work.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { writeRandomVit } from './bench-node/random-vit.ts';
import { count } from './local/flag-numbers.ts';
import { rounded } from './local/statistics.ts';
import { soak } from './soak-node/soak.ts';

const { requests, idle, artifact } = new Command('npm run soak:node --')
  .description('Sends the node requests of every kind beside idle connections: nothing may be left behind.')
  .option('--requests <n>', 'requests of every kind', count(1), 100_000)
  .option('--idle <n>', 'idle connections; an open file each, see ulimit -n', count(0), 10_000)
  .option('--artifact <directory>', 'a path artifact (default: a tiny random model)')
  .parse()
  .opts<{ requests: number; idle: number; artifact?: string }>();

const MOST_HEAP_GROWTH = 1.05;
/** What grew evenly from the first tenth on would come to 1.25. */
const MOST_MEMORY_GROWTH = 1.15;
const directory = artifact ?? join(tmpdir(), 'spp-bench', 'vit-micro');
if (artifact === undefined) {
  const size = { image: 8, channels: 3, patch: 4, width: 16, heads: 2, layers: 1, classes: 10 };
  await writeRandomVit(directory, { id: 'vit-micro', size, shares: [0.5, 1], own: true });
}
let told = 0;
const begunMs = performance.now();
const result = await soak({
  artifact: directory,
  requests,
  idleConnections: idle,
  progress(done) {
    if (done < told + requests / 10) return;
    told = done;
    process.stderr.write(`${done} requests, ${Math.round((performance.now() - begunMs) / 1000)} s\n`);
  },
});
const heapGrowth = result.heapMb.afterAll / result.heapMb.afterTenth;
const memoryGrowth = result.rssMb.afterAll / result.rssMb.afterHalf;
const isWell =
  heapGrowth <= MOST_HEAP_GROWTH && memoryGrowth <= MOST_MEMORY_GROWTH && result.idle.status === 200;
process.stdout.write(
  `${JSON.stringify({ ...result, heapGrowth: rounded(heapGrowth, 4), memoryGrowth: rounded(memoryGrowth, 4) }, undefined, 1)}\n`,
);
process.exit(isWell ? 0 : 1);
