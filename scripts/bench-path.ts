/**
 * npm run bench:path -- NAME, or -- --model all
 * Quality of every level by each way of pruning, at equal FLOPs, over several seeds. What has been measured is kept and not measured
 * again, so that the comparison can be run in pieces, by several processes and on several machines.
 */
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { terminalProgress } from '../trainer/cli/progress.ts';
import { textTable } from '../trainer/cli/table.ts';
import { type BackendChoice, backendChoices } from '../trainer/engine/backend-names.ts';
import { computeOn, providers } from '../trainer/runtime/compute.ts';
import type { Provider } from '../trainer/runtime/ort-session.ts';
import { type Comparison, compare, samplesOf, subjectFor } from './bench-path/compare.ts';
import { type Method, type MethodName, methods } from './bench-path/methods.ts';
import { type BenchModel, benchModels } from './bench-path/models.ts';
import { documentOf, textOf, writeDocument } from './bench-path/show.ts';
import type { Recovery } from './bench-path/subject.ts';
import { sweep, sweptRows } from './bench-path/sweep.ts';

/** Ways of pruning that train no weight: a comparison of one model by them takes minutes. */
const TRAINING_FREE = Object.entries(methods).flatMap(([name, method]: [string, Method]) =>
  method.training === undefined ? [name] : [],
);
/** What computes gradients on each provider. */
const BACKENDS = { cpu: 'auto', cuda: 'onnxruntime-cuda', webgpu: 'onnxruntime-webgpu' } as const;

const command = new Command('npm run bench:path --')
  .description('Quality of every level by each way of pruning, at equal FLOPs.')
  .argument(
    '[model]',
    'one model by every method without training, with one seed, unless flags say otherwise',
  )
  .option('--model <name,..>', `all, or among: ${Object.keys(benchModels).join(', ')}`, 'all')
  .option('--methods <name,..>', `among: ${Object.keys(methods).join(', ')}`, Object.keys(methods).join(','))
  .option('--seeds <n>', 'seeds 0 to n - 1', '3')
  .option('--only-seeds <n,..>', 'of those, these alone: for a process beside others')
  .option('--grid <percent,..>', 'shares of the reachable FLOPs', '90,70,50,40,30,20,10,5')
  .option(
    '--only-levels <percent,..>',
    'of those, these alone by methods that make each level apart: for a process beside others',
  )
  .option('--steps <n>', 'steps of the search')
  .option('--recover <steps>', 'steps of joint recovery, or auto: as a build takes', 'auto')
  .option('--recover-rate <share>', "step size of recovery, relative to the weights (default: a build's)")
  .option('--recover-between <n>', "levels between that a joint step trains (default: a build's)")
  .option('--samples <n>', 'test examples (default: by model)')
  .addOption(
    new Option('--ep <provider>', 'what runs search, recovery and measuring')
      .choices(providers)
      .default('cpu'),
  )
  .option('--threads <n>', 'threads that this process takes (default: all cores)')
  .addOption(
    new Option('--backend <name>', 'what computes gradients (default: by --ep)').choices(backendChoices),
  )
  .option('--work <folder>', 'where unpacked data is kept', '.data/bench-path')
  .option('--cache <folder>', 'where results are kept (default: results in the work folder)')
  .option('--report-only', 'measure nothing: tables of what the cache has', false)
  .option('--sweep', "instead: the search's settings, compared on held-out training examples", false)
  .option('--docs <folder>', 'where JSON and plots go (default: nowhere)')
  .option('--json', 'print JSON instead of tables', false)
  .option('--markdown', 'print tables as Markdown', false)
  .parse();
const [quick] = command.args;
if (quick !== undefined) {
  const quickly = { model: quick, methods: TRAINING_FREE.join(','), seeds: '1' };
  for (const [flag, value] of Object.entries(quickly))
    if (command.getOptionValueSource(flag) === 'default') command.setOptionValue(flag, value);
}
const flags = command.opts<Record<string, string | boolean | undefined>>();

const chosen = namesAmong('methods', methods) as MethodName[];
const names = flags.model === 'all' ? Object.keys(benchModels) : namesAmong('model', benchModels);
const asked = comparison();
using progress = terminalProgress();
const documents = [];
for (const name of names) {
  const model = benchModels[name] as BenchModel;
  if (flags.sweep) await showSweep(name, model);
  else documents.push(await show(name, model));
}
if (flags.json) process.stdout.write(`${JSON.stringify(documents)}\n`);

function comparison(): Comparison {
  const threads = whole('threads', 1);
  const provider = flags.ep as Provider;
  computeOn({ provider, ...(threads === undefined ? {} : { threads }) });
  const reachable = sharesOf(flags.grid);
  if (!reachable.every((share) => share > 0 && share < 1))
    wrong('--grid takes percentages between 0 and 100');
  const alone = flags.onlyLevels === undefined ? reachable : sharesOf(flags.onlyLevels);
  if (!alone.every((share) => reachable.includes(share)))
    wrong(`--only-levels takes levels of the grid, ${flags.grid}`);
  const all = Array.from({ length: whole('seeds', 1) ?? 1 }, (_, seed) => seed);
  const only = flags.onlySeeds === undefined ? all : String(flags.onlySeeds).split(',').map(Number);
  if (only.length === 0 || !only.every((seed) => Number.isInteger(seed) && seed >= 0))
    wrong('--only-seeds takes whole numbers from 0 on');
  const samples = whole('samples', 1);
  const steps = whole('steps', 10);
  return {
    methods: chosen,
    seeds: only,
    reachable,
    alone,
    recover: recovery(),
    ...(samples === undefined ? {} : { samples }),
    ...(steps === undefined ? {} : { steps }),
    backend: (flags.backend as BackendChoice | undefined) ?? BACKENDS[provider],
    work: String(flags.work),
    cache: String(flags.cache ?? join(String(flags.work), 'results')),
    reportOnly: flags.reportOnly === true,
  };
}

function sharesOf(percentages: unknown): number[] {
  return String(percentages)
    .split(',')
    .map((percent) => Number(percent) / 100);
}

function recovery(): Recovery {
  const between = whole('recoverBetween', 1);
  const rate = flags.recoverRate === undefined ? undefined : Number(flags.recoverRate);
  if (rate !== undefined && !(rate > 0 && rate < 1)) wrong('--recover-rate takes a share between 0 and 1');
  return {
    steps: flags.recover === 'auto' ? 'auto' : (whole('recover', 1) ?? 'auto'),
    ...(rate === undefined ? {} : { rate }),
    ...(between === undefined ? {} : { between }),
  };
}

async function show(name: string, model: BenchModel) {
  const results = await compare(name, model, asked, progress);
  const document = documentOf(name, model, chosen, results);
  if (results.length === 0) return document;
  if (flags.docs !== undefined) await writeDocument(String(flags.docs), document, model);
  if (!flags.json)
    process.stdout.write(`${textOf(document, model, flags.markdown ? 'markdown' : 'text')}\n\n`);
  return document;
}

async function showSweep(name: string, model: BenchModel): Promise<void> {
  const dataset = await model.open(asked.work, samplesOf(model, asked));
  for (const seed of asked.seeds) {
    const subject = await subjectFor(name, model, dataset, seed, asked, progress);
    const { header, body } = sweptRows(await sweep(subject));
    process.stdout.write(`${name}, seed ${seed}\n${textTable(header, body)}\n\n`);
  }
}

function namesAmong(flag: string, table: object): string[] {
  const given = String(flags[flag])
    .split(',')
    .filter((name) => name !== '');
  const stray = given.find((name) => !Object.hasOwn(table, name));
  if (stray !== undefined || given.length === 0)
    wrong(`--${flag} ${stray ?? ''}: choose among ${Object.keys(table).join(', ')}`);
  return given;
}

/** @returns undefined where the flag was not given */
function whole(flag: string, least: number): number | undefined {
  if (flags[flag] === undefined) return undefined;
  const value = Number(flags[flag]);
  if (!Number.isInteger(value) || value < least)
    wrong(
      `--${flag.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} takes a whole number from ${least} on`,
    );
  return value;
}

function wrong(message: string): never {
  return command.error(message, { exitCode: 2 });
}
