/**
 * npm run bench:engine
 * A step's time against onnxruntime's forward pass at the same batch and threads, and PyTorch's eager mode where a Python with torch
 * is found: medians of runs that alternate between all sides. Peak memory of a step, each in a process of its own.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { SppError } from '../schema/errors.ts';
import { textTable } from '../trainer/cli/table.ts';
import { type BackendName, backendNames } from '../trainer/engine/backend-names.ts';
import { trainableWeights } from '../trainer/graph/trainable-weights.ts';
import { benchDevice, deviceReport } from './bench-engine/device.ts';
import { inclusionSides } from './bench-engine/inclusion.ts';
import { optimiserSides } from './bench-engine/optimiser.ts';
import { benchPasses, passesReport } from './bench-engine/passes.ts';
import { peakBytes } from './bench-engine/peak-bytes.ts';
import { benchScaling, scalingReport, scalingRows } from './bench-engine/scaling.ts';
import { deitModels, loadBenchModel, fileModels as models } from './bench-engine/shapes.ts';
import { forwardLanesSide, forwardSide, type Side, stepSide, workOf } from './bench-engine/sides.ts';
import { findTorchPython, startTorch, type TorchSide } from './bench-engine/torch.ts';
import { count } from './local/flag-numbers.ts';
import { median } from './local/statistics.ts';

const MIB = 2 ** 20;
const ROUNDS = 15;
/** A round is a minute. */
const SCALING_ROUNDS = 2;
/** Of forward passes. */
const EXAMPLES = 8192;
const deviceModels = ['digits', ...Object.keys(deitModels)].join(', ');

interface Flags {
  readonly rounds?: number;
  readonly threads: number;
  readonly backends: readonly BackendName[];
  readonly python?: string;
  readonly memory?: 'masks' | 'weights';
  readonly recompute: boolean;
  readonly json: boolean;
  readonly scaling?: readonly string[] | true;
  readonly passes?: string;
  readonly device?: 'webgpu' | 'cuda';
  readonly seconds: number;
  readonly limit: number;
  readonly batch: number;
}

/** Names with commas between them. */
const someOf =
  <Name extends string>(known: readonly Name[]) =>
  (typed: string): Name[] =>
    typed.split(',').map((name) => {
      const found = known.find((each) => each === name);
      if (found !== undefined) return found;
      throw new InvalidArgumentError(`It takes some of: ${known.join(', ')}.`);
    });

const command = new Command('npm run bench:engine --')
  .description('Times a step of search and of recovery beside a forward pass, and beside PyTorch.')
  .argument('[models...]', `of: ${Object.keys(models).join(', ')}; all by default, with --device other ones`)
  .option(
    '--rounds <n>',
    'runs of each side (default: 15); with --scaling, of all shapes in turn (default: 2)',
    count(1),
  )
  .option('--threads <n>', 'threads of every side', count(1), availableParallelism())
  .option(
    '--backends <names>',
    'other backends to time beside onnxruntime, with commas',
    someOf(backendNames),
    [],
  )
  .option('--python <path>', 'a Python with torch, timm and transformers (default: PYTHON, then python3)')
  .addOption(
    new Option('--memory <what>', 'only: print by how many bytes steps grow this process').choices([
      'masks',
      'weights',
    ]),
  )
  .option('--recompute', 'with --memory: compute activations twice instead of keeping them', false)
  .addOption(
    new Option(
      '--device <provider>',
      `time steps on onnxruntime's GPU providers beside the cpu: ${deviceModels}`,
    ).choices(['webgpu', 'cuda']),
  )
  .option('--seconds <n>', 'with --device: for each side of a model', count(1), 2)
  .option('--limit <n>', 'with --device: seconds for all models', count(1), 140)
  .option('--batch <n>', "with --device: examples of a step instead of the model's own", count(0), 0)
  .option(
    '--scaling [rows]',
    `shapes of a vision transformer against time and memory: ${Object.keys(scalingRows).join(',')}`,
    someOf(Object.keys(scalingRows)),
  )
  .option(
    '--passes <data>',
    'forward passes over a data set with and without waiting for it, as build-path takes --data',
  )
  .option('--json', 'print JSON instead of tables', false)
  .parse();
const flags = command.opts<Flags>();
const { threads } = flags;
const known = flags.device === undefined ? models : { ...models, ...deitModels };
const byDefault = flags.device === undefined ? Object.keys(models) : deviceModels.split(', ');
const asked = command.args.length > 0 ? command.args : byDefault;
const unknown = asked.find((name) => known[name] === undefined);
if (unknown !== undefined) command.error(`unknown model ${unknown}`, { exitCode: 2 });
try {
  if (flags.scaling !== undefined) scaling(flags.scaling);
  else if (flags.passes !== undefined) await passes(flags.passes);
  else if (flags.device !== undefined) await onDevice(flags.device);
  else if (flags.memory !== undefined) await memoryOf(asked[0] ?? 'digits', flags.memory);
  else await bench();
} catch (error) {
  if (!(error instanceof SppError)) throw error;
  command.error(`error: ${error.message} ${error.hint ?? ''}`, { exitCode: error.exitCode });
}

function scaling(asked: readonly string[] | true): void {
  const rows = asked === true ? Object.keys(scalingRows) : asked;
  const found = benchScaling(rows, { threads, rounds: flags.rounds ?? SCALING_ROUNDS });
  process.stdout.write(flags.json ? `${JSON.stringify(found)}\n` : `${scalingReport(found)}\n`);
}

async function passes(spec: string): Promise<void> {
  const name = asked[0] ?? 'digits';
  const model = await loadBenchModel(name, models[name] as (typeof models)[string]);
  const found = await benchPasses(model, spec, EXAMPLES);
  process.stdout.write(flags.json ? `${JSON.stringify(found)}\n` : `${passesReport(name, found)}\n`);
}

async function onDevice(device: 'webgpu' | 'cuda'): Promise<void> {
  const { seconds, limit, batch } = flags;
  await benchDevice({ device, models: asked, seconds, limit, batch }, (model, result) =>
    process.stdout.write(
      flags.json ? `${JSON.stringify({ model, ...result })}\n` : `${deviceReport(model, result)}\n\n`,
    ),
  );
}

async function bench(): Promise<void> {
  const python = findTorchPython(flags.python);
  if (!python)
    process.stderr.write('PyTorch is left out: no Python with torch, timm and transformers was found.\n');
  const all: Record<string, unknown> = {};
  for (const name of asked) {
    const { from, batch, length } = models[name] as (typeof models)[string];
    if (typeof from === 'string' && !existsSync(from)) {
      process.stderr.write(`${name} is left out: ${from} is not there.\n`);
      continue;
    }
    const torch = python
      ? await startTorch(python, [name, String(batch), String(length), String(threads)])
      : undefined;
    const result = await timesOf(name, torch);
    const memory = await memoriesOf(name, python);
    torch?.close();
    all[name] = { batch, length, threads, torch: torch?.version, ...result, memory };
    if (!flags.json) process.stdout.write(`${report(name, batch, length, result, memory)}\n\n`);
  }
  if (flags.json) process.stdout.write(`${JSON.stringify(all)}\n`);
  process.exit(0);
}

type Times = Readonly<Record<string, number>>;

async function timesOf(name: string, torch: TorchSide | undefined): Promise<{ medianMs: Times }> {
  const given = models[name] as (typeof models)[string];
  const { batch, length } = given;
  const model = await loadBenchModel(name, given);
  const work = await workOf(model, batch, length, threads);
  const sides: Side[] = [await forwardSide(work), await forwardLanesSide(work)];
  for (const backend of ['onnxruntime', ...flags.backends] as const)
    for (const what of ['masks', 'weights'] as const) sides.push(await stepSide(work, what, backend));
  for (const what of ['masks', 'weights'] as const)
    sides.push(await stepSide(work, what, 'onnxruntime', true));
  const { graph } = model;
  const weights = trainableWeights(graph).map(
    (weight) => [weight, graph.initializers.get(weight)?.data as Float32Array] as const,
  );
  const optimiser = await optimiserSides(new Map(weights), threads);
  const units = model.pairs.reduce((sum, pair) => sum + pair.units, 0);
  const inclusion = await inclusionSides(units, threads);
  sides.push(optimiser.host, optimiser.graph, inclusion.host, inclusion.graph);
  const times = new Map<string, number[]>();
  const note = (side: string, ms: number) => times.set(side, [...(times.get(side) ?? []), ms]);
  for (const { run } of sides) await run();
  for (let round = 0; round < (flags.rounds ?? ROUNDS); round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      const started = performance.now();
      await side.run();
      note(side.name, performance.now() - started);
    }
    for (const what of torch ? ['forward', 'masks', 'weights'] : [])
      note(`torch ${what}`, await (torch as TorchSide).ask(what));
  }
  for (const side of sides) await side.close();
  return { medianMs: Object.fromEntries([...times].map(([side, each]) => [side, median(each)])) };
}

/** In processes of their own, as peaks never fall. */
async function memoriesOf(name: string, python: string | undefined): Promise<Times> {
  const memory: Record<string, number> = {};
  for (const what of ['masks', 'weights']) {
    const script = fileURLToPath(import.meta.url);
    const own = [script, name, '--memory', what, '--threads', String(threads)];
    memory[what] = Number(spawnSync(process.execPath, own).stdout.toString());
    const less = spawnSync(process.execPath, [...own, '--recompute']);
    memory[`${what}, recomputed`] = Number(less.stdout.toString());
    if (python === undefined) continue;
    const { batch, length } = models[name] as (typeof models)[string];
    const torch = await startTorch(python, [name, String(batch), String(length), String(threads)]);
    memory[`torch ${what}`] = await torch.ask(`memory ${what}`);
    torch.close();
  }
  return memory;
}

async function memoryOf(name: string, what: 'masks' | 'weights'): Promise<void> {
  const given = models[name] as (typeof models)[string];
  const { batch, length } = given;
  const model = await loadBenchModel(name, given);
  const work = await workOf(model, batch, length, threads);
  const side = await stepSide(work, what, 'onnxruntime', flags.recompute);
  const before = process.memoryUsage.rss();
  for (let i = 0; i < 3; i++) await side.run();
  const grown = peakBytes() - before;
  await side.close();
  process.stdout.write(`${grown}\n`);
}

function report(
  name: string,
  batch: number,
  length: number,
  { medianMs }: { medianMs: Times },
  memory: Times,
): string {
  const forward = Math.min(medianMs.forward ?? Infinity, medianMs['forward, lanes'] ?? Infinity);
  const rows = Object.entries(medianMs).map(([side, ms]) => {
    const peak = memory[side];
    return [
      side,
      ms.toFixed(ms < 1 ? 3 : 1),
      (ms / forward).toFixed(2),
      peak === undefined ? '-' : (peak / MIB).toFixed(0),
    ];
  });
  const size = length > 1 ? `batch ${batch} of ${length} tokens` : `batch ${batch}`;
  return `${name}, ${size}, ${threads} threads\n${textTable(['side', 'median ms', 'x forward', 'peak MiB'], rows)}`;
}
