/** Benchmarks of the inference node: `npm run bench:node -- <what>`. Each prints both sides of its comparison. */
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { benchArtifact } from './bench-node/artifacts.ts';
import { memory, memoryReport } from './bench-node/memory.ts';
import { throughput, throughputReport } from './bench-node/throughput.ts';

const cores = String(availableParallelism());
const program = new Command('npm run bench:node --').description('Measures the inference node.');

function bench(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option('--directory <directory>', 'for artifacts that it makes', join(tmpdir(), 'spp-bench'))
    .option('--workers <n>', 'worker threads', Number, Number(cores))
    .option('--max-batch <n>', 'most rows of a run', Number, 8)
    .option('--json', 'print one JSON object');
}

function print<T>(result: T, report: (result: T) => string, json: boolean | undefined): void {
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : report(result));
}

bench('throughput', 'beside bare onnxruntime loops: rows per second at saturation, time added at low load')
  .option('--artifact <directory>', 'a path artifact (default: a random vit-small32, 3x32x32)')
  .option('--level <k>', 'level (default: dense)', Number)
  .option('--rounds <n>', 'alternating rounds', Number, 5)
  .option('--seconds <s>', 'of each part of a round', Number, 2)
  .action(async (flags) => {
    const made = { size: 'small32', levels: 8, from: 0.2, own: true } as const;
    const artifact = flags.artifact ?? (await benchArtifact(flags.directory, made));
    print(await throughput({ ...flags, artifact }), throughputReport, flags.json);
  });

bench('memory', 'resident memory of all levels beside that of the dense one alone')
  .option('--size <name>', 'of the random model: base, tiny or small32', 'base')
  .option('--levels <n>', 'levels', Number, 12)
  .action(async (flags) => print(await memory(flags), memoryReport, flags.json));

await program.parseAsync();
process.exit(0);
