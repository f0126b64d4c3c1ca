/** Benchmarks of the inference node: `npm run bench:node -- <what>`. Each prints both sides of its comparison. */
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { letHelpersGiveWay } from '../infra/node/execution/give-way.ts';
import { type BenchArtifact, benchArtifact } from './bench-node/artifacts.ts';
import { burst, burstReport } from './bench-node/burst.ts';
import { coldStart, coldStartReport } from './bench-node/cold-start.ts';
import { faults, faultsReport } from './bench-node/faults.ts';
import { levelChange, levelChangeReport } from './bench-node/level-change.ts';
import { memory, memoryReport } from './bench-node/memory.ts';
import { oneSession, oneSessionReport } from './bench-node/one-session.ts';
import { packingGain, packingReport } from './bench-node/packing.ts';
import { peer, peerReport } from './bench-node/peer.ts';
import { simulatedBursts, simulatedReport } from './bench-node/simulated-report.ts';
import { throughput, throughputReport } from './bench-node/throughput.ts';
import { count, notNegative, positive } from './local/flag-numbers.ts';

// Clients are elsewhere; what V8 compiles and collects for them here is not to keep servers waiting.
letHelpersGiveWay();

const cores = String(availableParallelism());
const program = new Command('npm run bench:node --').description('Measures the inference node.');

function bench(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option('--directory <directory>', 'for artifacts that it makes', join(tmpdir(), 'spp-bench'))
    .option('--workers <n>', 'worker threads', count(1), Number(cores))
    .option('--max-batch <n>', 'most rows of a run', count(1), 8)
    .option('--json', 'print one JSON object');
}

/** A benchmark of one artifact: the one that is told, or one of random weights that it makes. */
function benchOf(name: string, description: string, made: BenchArtifact): Command {
  const { size, levels } = made;
  return bench(name, description)
    .option('--artifact <directory>', `a path artifact (default: a random vit-${size} with ${levels} levels)`)
    .hook('preAction', async (_, command) => {
      const { artifact, directory } = command.opts();
      command.setOptionValue('artifact', artifact ?? (await benchArtifact(directory, made)));
    });
}

function print<T>(result: T, report: (result: T) => string, json: boolean | undefined): void {
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : report(result));
}

const small8: BenchArtifact = { size: 'small32', levels: 8, from: 0.2, own: true };
const small12: BenchArtifact = { size: 'small32', levels: 12, from: 0.1, own: true };
const base12: BenchArtifact = { size: 'base', levels: 12, from: 0.2, own: false };

benchOf(
  'throughput',
  'beside bare onnxruntime loops: rows per second at saturation, time added at low load',
  small8,
)
  .option('--level <k>', 'level (default: dense)', count(0))
  .option('--rounds <n>', 'alternating rounds', count(1), 8)
  .option('--seconds <s>', 'of each part of a round', positive, 1)
  .action(async (flags) => print(await throughput(flags), throughputReport, flags.json));

bench('memory', 'resident memory of all levels beside that of the dense one alone')
  .option('--size <name>', 'of the random model: base, tiny or small32', 'base')
  .option('--levels <n>', 'levels', count(1), 12)
  .option('--no-owned', 'leave out levels with output matrices of their own')
  .action(async (flags) => print(await memory(flags), memoryReport, flags.json));

benchOf('level-change', 'a request after one at another level, beside one after the same level', small12)
  .option('--samples <n>', 'of each kind', count(1), 600)
  .action(async (flags) => print(await levelChange(flags), levelChangeReport, flags.json));

benchOf('packing', 'what packing the dense level saves of a run, and what of that is memory', base12)
  .option('--runs <n>', 'of each', count(1), 5)
  .action(async (flags) => {
    const rows = [...new Set([1, flags.maxBatch])];
    print(await packingGain({ ...flags, rows }), packingReport, flags.json);
  });

bench('one-session', 'one session that takes the level as an input, beside a session for each level')
  .option('--size <name>', 'of the random model: base, tiny or small32', 'base')
  .option('--levels <n>', 'levels', count(1), 12)
  .option('--rounds <n>', 'runs of each', count(1), 15)
  .action(async (flags) => {
    const { directory, size, levels } = flags;
    const artifact = await benchArtifact(directory, { size, levels, from: 0.2, own: false });
    print(await oneSession({ ...flags, artifact }), oneSessionReport, flags.json);
  });

benchOf(
  'peer',
  'beside MLServer with onnxruntime, on the same dense model: throughput, latency, memory',
  small8,
)
  .option('--venv <directory>', 'Python environment, made where it is missing', join(tmpdir(), 'venv-peer'))
  .option('--rounds <n>', 'alternating rounds', count(1), 4)
  .option('--seconds <s>', 'of each part of a round', positive, 2)
  .action(async (flags) => print(await peer(flags), peerReport, flags.json));

benchOf(
  'burst',
  'attainment and quality under bursty load, beside static levels and always what was asked',
  small12,
)
  .option('--seconds <s>', 'of each load', positive, 10)
  .option('--slice <s>', 'of a load that one policy serves before the next has its turn', positive, 10)
  .option('--load <share>', 'mean load, of what the dense level holds', positive, 1.3)
  .option(
    '--budgets-ms <ms>',
    'asked for in equal shares, with commas between (default: 3, 6 and 12 times what one row takes at the dense level)',
    (text: string) => text.split(',').map(positive),
  )
  .action(async (flags) => print(await burst(flags), burstReport, flags.json));

bench(
  'simulate',
  'the batcher alone on such loads, in simulated time: seconds, and the same on every machine',
)
  .option('--seconds <s>', 'of each load', positive, 10)
  .option('--load <share>', 'mean load, of what the dense level holds', positive, 1.3)
  .option('--levels <n>', 'levels', count(1), 12)
  .option('--cores <n>', 'that workers share with the main thread and the client', count(1), Number(cores))
  .option('--no-yields', 'threads that run keep a core for their whole slice, as if they did not give way')
  .option('--dense-ms <ms>', 'of one row at the dense level', positive, 2.6)
  .option('--fixed <share>', 'of that which no level saves', notNegative, 0.12)
  .option('--noise <share>', 'by which runs take longer, at most', notNegative, 0.5)
  .option(
    '--slowness <factor>',
    'by which runs take longer in every second stretch of two seconds',
    positive,
    1,
  )
  .option(
    '--others <share>',
    'of one core that other processes take, in pieces of some milliseconds',
    notNegative,
    0,
  )
  .option(
    '--budgets <multiples>',
    'of what one row usually takes at the dense level, with commas between',
    (text: string) => text.split(',').map(positive),
    [3, 6, 12],
  )
  .action((flags) => print(simulatedBursts(flags), simulatedReport, flags.json));

benchOf('cold-start', 'time to the first answer over a slow line, beside all files first', base12)
  .option('--mbit-per-s <n>', 'speed of the line', positive, 100)
  .action(async (flags) => print(await coldStart(flags), coldStartReport, flags.json));

benchOf('faults', 'faults done on purpose under load: every request comes to one end', small8)
  .option(
    '--full-disk <directory>',
    'on a disk with less room than the weights take (default: leave that out)',
  )
  .action(async (flags) => print(await faults(flags), faultsReport, flags.json));

await program.parseAsync();
process.exit(0);
