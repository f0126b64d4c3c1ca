/** Benchmarks of the inference node: `npm run bench:node -- <what>`. Each prints both sides of its comparison. */
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { letHelpersGiveWay } from '../infra/node/execution/give-way.ts';
import { executionProviders } from '../infra/node/options.ts';
import { type BenchArtifact, benchArtifact } from './bench-node/artifacts.ts';
import { burst, burstReport } from './bench-node/burst.ts';
import { coldStart, coldStartReport } from './bench-node/cold-start.ts';
import { faults, faultsReport } from './bench-node/faults.ts';
import { levelChange, levelChangeReport } from './bench-node/level-change.ts';
import { memory, memoryReport } from './bench-node/memory.ts';
import { oneSession, oneSessionReport } from './bench-node/one-session.ts';
import { packingGain, packingReport } from './bench-node/packing.ts';
import { peer, peerReport } from './bench-node/peer.ts';
import { provider, providerReport } from './bench-node/provider.ts';
import { vitSizes } from './bench-node/random-vit.ts';
import { type MachinesOptions, machinesReport, simulatedMachines } from './bench-node/simulated-machines.ts';
import { simulatedBursts, simulatedReport, USUAL_MACHINE } from './bench-node/simulated-report.ts';
import { throughput, throughputReport } from './bench-node/throughput.ts';
import { count, notNegative, positive } from './local/flag-numbers.ts';

// Clients are elsewhere; what V8 compiles and collects for them here is not to keep servers waiting.
letHelpersGiveWay();

const cores = availableParallelism();
const program = new Command('npm run bench:node --').description('Measures the inference node.');

function bench(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option('--directory <directory>', 'for artifacts that it makes', join(tmpdir(), 'spp-bench'))
    .option('--workers <n>', 'worker threads', count(1), cores)
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

/** Measures by a command's flags and prints what comes of it. */
function shows<Flags, Result>(
  measure: (flags: Flags) => Result | Promise<Result>,
  report: (result: Result) => string,
): (flags: Flags & { readonly json?: boolean }) => Promise<void> {
  return async (flags) => {
    const result = await measure(flags);
    process.stdout.write(flags.json ? `${JSON.stringify(result)}\n` : report(result));
  };
}

const sizeOption = () => new Option('--size <name>', 'of the random model').choices(SIZES).default('base');
const levelsOption = () => new Option('--levels <n>', 'levels').argParser(count(1)).default(12);
const roundsOption = (rounds: number) =>
  new Option('--rounds <n>', 'in which both sides take turns').argParser(count(1)).default(rounds);
const secondsOption = (of: string, seconds: number) =>
  new Option('--seconds <s>', of).argParser(positive).default(seconds);
const loadOption = () =>
  new Option('--load <share>', 'mean load, of what the dense level holds').argParser(positive).default(1.3);
const numbers = (text: string) => text.split(',').map(positive);

const SIZES = Object.keys(vitSizes);
const small8: BenchArtifact = { size: 'small32', levels: 8, from: 0.2, own: true };
const small12: BenchArtifact = { size: 'small32', levels: 12, from: 0.1, own: true };
const base12: BenchArtifact = { size: 'base', levels: 12, from: 0.2, own: false };

benchOf(
  'throughput',
  'beside bare onnxruntime loops: rows per second at saturation, time added at low load',
  small8,
)
  .option('--level <k>', 'level (default: dense)', count(0))
  .addOption(roundsOption(8))
  .addOption(secondsOption('of each part of a round', 1))
  .action(shows(throughput, throughputReport));

bench(
  'memory',
  'resident memory of all levels beside that of the dense one alone, and the rate of the dense one',
)
  .addOption(sizeOption())
  .addOption(levelsOption())
  .option('--no-owned', 'leave out levels with output matrices of their own')
  .action(shows(memory, memoryReport));

benchOf('level-change', 'a request after one at another level, beside one after the same level', small12)
  .option('--samples <n>', 'of each kind', count(1), 600)
  .action(shows(levelChange, levelChangeReport));

benchOf('packing', 'what packing the dense level saves of a run, and what of that is memory', base12)
  .option('--runs <n>', 'of each', count(1), 5)
  .action(shows(packingGain, packingReport));

bench('provider', 'on a GPU beside the cpu, level by level: how far answers are apart, rate, latency')
  .option('--artifact <directory>', 'a path artifact (default: a random vision transformer)')
  .addOption(sizeOption().default('small32'))
  .addOption(levelsOption().default(4))
  .addOption(
    new Option('--ep <provider>', 'execution provider of the GPU')
      .choices(executionProviders.filter((name) => name !== 'cpu'))
      .default('webgpu'),
  )
  .option('--gpu-workers <n>', 'worker threads of the node on the GPU', count(1), 1)
  .addOption(roundsOption(3))
  .addOption(secondsOption('of each level and side in a round', 1))
  .action(shows(provider, providerReport));

bench('one-session', 'one session that takes the level as an input, beside a session for each level')
  .addOption(sizeOption())
  .addOption(levelsOption())
  .addOption(roundsOption(15))
  .action(shows(oneSession, oneSessionReport));

benchOf(
  'peer',
  'beside MLServer with onnxruntime, on the same dense model: throughput, latency, memory',
  small8,
)
  .option('--venv <directory>', 'Python environment, made where it is missing', join(tmpdir(), 'venv-peer'))
  .addOption(roundsOption(4))
  .addOption(secondsOption('of each part of a round', 2))
  .action(shows(peer, peerReport));

benchOf(
  'burst',
  'attainment and quality under bursty load, beside static levels and always what was asked',
  small12,
)
  .addOption(loadOption())
  .addOption(secondsOption('of each load', 10))
  .option('--slice <s>', 'of a load that one policy serves before the next has its turn', positive, 2)
  .option(
    '--budgets-ms <ms>',
    'asked for in equal shares, with commas between (default: 5, 10 and 20 times what one row usually takes at the dense level)',
    numbers,
  )
  .action(shows(burst, burstReport));

bench(
  'simulate',
  'the batcher alone on such loads, in simulated time: seconds, and the same on every machine',
)
  .addOption(loadOption())
  .addOption(secondsOption('of each load', 10))
  .addOption(levelsOption())
  .option('--cores <n>', 'that workers share with the main thread and the client', count(1), cores)
  .option('--no-yields', 'threads that run keep a core for their whole slice, as if they did not give way')
  .option('--dense-ms <ms>', 'of one row at the dense level', positive, USUAL_MACHINE.denseMs)
  .option('--fixed <share>', 'of that which no level saves', notNegative, USUAL_MACHINE.fixed)
  .option('--noise <share>', 'by which runs take longer, at most', notNegative, USUAL_MACHINE.noise)
  .option('--slowness <factor>', 'of runs in every second stretch of two seconds', positive, 1)
  .option('--spells <n>', 'a second, of some 80 ms, in which runs take 2.5 times as long', notNegative, 0)
  .option('--others <share>', 'of one core that other processes take, some ms at a time', notNegative, 0)
  .option('--stalls <n>', 'a second, of some 40 ms, in which nothing gets on', notNegative, 0)
  .option(
    '--budgets <multiples>',
    'of what one row usually takes at the dense level, with commas between',
    numbers,
    [3, 6, 12],
  )
  .option('--seed <n>', 'of when requests come, and what disturbs them', count(0), 0)
  .action(shows(simulatedBursts, simulatedReport));

program
  .command('simulate-machines')
  .description(
    'the same on sixteen kinds of machines and budgets, with several seeds: some minutes for each seed',
  )
  .option('--json', 'print one JSON object')
  .addOption(secondsOption('of each load', 10))
  .option('--seeds <n>', 'of when requests come, and what disturbs them', count(1), 1)
  .action(
    shows(
      (flags: Omit<MachinesOptions, 'progress'>) =>
        simulatedMachines({
          ...flags,
          progress: (done, all) => process.stderr.write(`${done} of ${all} machines\n`),
        }),
      machinesReport,
    ),
  );

benchOf('cold-start', 'time to the first answer over a slow line, beside all files first', base12)
  .option('--mbit-per-s <n>', 'speed of the line', positive, 100)
  .action(shows(coldStart, coldStartReport));

benchOf('faults', 'faults done on purpose under load: every request comes to one end', small8)
  .option(
    '--full-disk <directory>',
    'on a disk with less room than the weights take (default: leave that out)',
  )
  .action(shows(faults, faultsReport));

await program.parseAsync();
process.exit(0);
