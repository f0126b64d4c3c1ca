/**
 * npm run bench:path -- NAME, or -- --model all
 * Quality of every level by each way of pruning, at equal FLOPs, over several seeds. What has been measured is kept in
 * the work folder and not measured again, so that the comparison can be run in pieces.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { measuredGraph } from '../trainer/build/answer.ts';
import type { LevelModel } from '../trainer/build/level-stage.ts';
import { testAnswers } from '../trainer/build/measure-levels.ts';
import { type BuildOptions, buildOptionsSchema } from '../trainer/build/options.ts';
import { terminalProgress } from '../trainer/cli/progress.ts';
import { textTable } from '../trainer/cli/table.ts';
import type { Dataset } from '../trainer/data/dataset.ts';
import { writeOnnx } from '../trainer/graph/onnx-file.ts';
import { measureQuality } from '../trainer/measure/quality.ts';
import { startSessionPool, weightBytes } from '../trainer/runtime/session-pool.ts';
import { sizeAt } from '../trainer/search/allocate.ts';
import { writePathChart } from './bench-path/chart.ts';
import { type Method, type MethodName, methods, revisionOf } from './bench-path/methods.ts';
import { type BenchModel, benchModels } from './bench-path/models.ts';
import { fingerprintOf, type Result, readResult, writeResult } from './bench-path/results.ts';
import { openSubject, type Subject } from './bench-path/subject.ts';
import { markdown, summarise, tableOf } from './bench-path/summary.ts';

const REACHABLE = '90,70,50,40,30,20,10,5';
/** Examples that a thread computes at once. */
const BLOCK = 32;
/** Of the dense model's own figure; methods have revisions of their own. */
const DENSE_REVISION = 1;

/** Ways of pruning that train no weight: a comparison of one model by them takes minutes. */
const TRAINING_FREE = Object.entries(methods).flatMap(([name, method]) => (method.trains ? [] : [name]));

const command = new Command('bench:path')
  .argument(
    '[model]',
    'one model by every method without training, with one seed, unless flags say otherwise',
  )
  .option('--model <name>', `all, or among: ${Object.keys(benchModels).join(', ')}`, 'all')
  .option('--methods <name,..>', `among: ${Object.keys(methods).join(', ')}`, Object.keys(methods).join(','))
  .option('--seeds <n>', 'seeds 0 to n - 1', '3')
  .option('--grid <percent,..>', 'shares of the reachable FLOPs', REACHABLE)
  .option('--steps <n>', 'steps of the search')
  .option('--recover <steps>', 'steps of recovery', '400')
  .option('--samples <n>', 'test examples (default: by model)')
  .option('--backend <name>', 'what computes gradients', 'auto')
  .option('--work <folder>', 'where results and unpacked data are kept', '.data/bench-path')
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
const flags = command.opts<Record<string, string | undefined>>();

const chosen = namesAmong(flags.methods ?? '', methods, '--methods') as MethodName[];
const names =
  flags.model === 'all' ? Object.keys(benchModels) : namesAmong(flags.model ?? '', benchModels, '--model');
const reachable = String(flags.grid)
  .split(',')
  .map((percent) => Number(percent) / 100);
if (!reachable.every((share) => share > 0 && share < 1))
  command.error('--grid takes percentages between 0 and 100', { exitCode: 2 });
const recoverySteps = Number(flags.recover);
const work = String(flags.work);
using progress = terminalProgress();
const documents = [];
for (const name of names) documents.push(await compare(name, benchModels[name] as BenchModel));
if (flags.json) process.stdout.write(`${JSON.stringify(documents)}\n`);

function namesAmong(list: string, table: object, flag: string): string[] {
  const given = list.split(',').filter((name) => name !== '');
  const stray = given.find((name) => !Object.hasOwn(table, name));
  if (stray !== undefined || given.length === 0)
    command.error(`${flag} ${stray ?? ''}: choose among ${Object.keys(table).join(', ')}`, { exitCode: 2 });
  return given;
}

async function compare(name: string, model: BenchModel) {
  const results: Result[] = [];
  let dataset: Dataset | undefined;
  for (let seed = 0; seed < Number(flags.seeds); seed++) {
    const options = optionsFor(model, seed);
    const samples = Number(flags.samples ?? model.samples);
    let subject: Subject | undefined;
    for (const method of chosen) {
      const trains = methods[method].trains ? [recoverySteps] : [];
      const { batch, steps, calibration, backend } = options;
      const deciding = { reachable, samples, seed, batch, steps, calibration, backend };
      const fingerprint = fingerprintOf([revisionOf(method), deciding, ...trains]);
      const key = { model: name, method, seed, fingerprint };
      const known = await readResult(work, key);
      if (known !== undefined) {
        results.push(known);
        continue;
      }
      dataset ??= await model.open(work, {
        train: Math.max(options.calibration + 512, recoverySteps * options.batch),
        test: samples,
      });
      subject ??= await openSubject(name, model, dataset, options, reachable, recoverySteps, progress);
      progress.note(`${name}, seed ${seed}: ${methods[method].label}`);
      const started = performance.now();
      const levels = await methods[method].levels(subject);
      const seconds = (performance.now() - started) / 1000;
      // Training changes the dense level too; without it, that is the model itself.
      const values = methods[method].trains
        ? await qualities(subject, levels, samples, model)
        : [
            ...(await qualities(subject, levels.slice(0, -1), samples, model)),
            await denseQuality(name, model, subject, samples),
          ];
      const result = { ...key, samples, levels: values, epochs: {}, seconds };
      await writeResult(work, result);
      results.push(result);
    }
  }
  return show(name, model, results);
}

/** Measured once a model, whatever the method and seed. */
async function denseQuality(name: string, model: BenchModel, subject: Subject, samples: number) {
  const key = {
    model: name,
    method: 'dense',
    seed: 0,
    fingerprint: fingerprintOf([DENSE_REVISION, samples]),
  };
  const known = await readResult(work, key);
  const [first] = known?.levels ?? [];
  if (first !== undefined) return first;
  const keep = subject.prepared.pairs.map(({ units }) => Array.from({ length: units }, (_, unit) => unit));
  const [dense] = await qualities(
    subject,
    [{ cut: subject.prepared.graph, keep, refitted: false }],
    samples,
    model,
  );
  const level = { ...(dense as Result['levels'][number]), reachable: 1 };
  await writeResult(work, { ...key, samples, levels: [level], epochs: {}, seconds: 0 });
  return level;
}

function optionsFor(model: BenchModel, seed: number): BuildOptions {
  return buildOptionsSchema.parse({
    id: 'bench',
    seed,
    batch: model.batch,
    calibration: 4096,
    backend: flags.backend,
    ...(model.task === undefined ? {} : { task: model.task }),
    ...(flags.steps === undefined ? {} : { steps: Number(flags.steps) }),
  });
}

async function qualities(
  subject: Subject,
  levels: readonly LevelModel[],
  samples: number,
  { metric }: BenchModel,
): Promise<Result['levels']> {
  const { prepared } = subject;
  const calibrated = await subject.calibrated('own');
  const { pool } = calibrated;
  const dense = await testAnswers(calibrated, samples);
  const sessions = startSessionPool(weightBytes(prepared.graph));
  const stage = progress.stage('measure', levels.length);
  const values: Result['levels'] = [];
  const ascending = [...reachable.toSorted((a, b) => a - b), 1];
  for (const [level, { cut, keep }] of levels.entries()) {
    const quality = await measureQuality({
      task: pool.task.measure,
      model: writeOnnx(measuredGraph(cut, pool.task)),
      output: pool.output,
      dense,
      split: pool.data.test,
      samples,
      block: Math.min(pool.block, BLOCK),
      sessions,
    });
    const size = sizeAt(
      prepared.pairs,
      keep.map((units) => units.length),
      prepared,
    );
    values.push({
      reachable: ascending[level] ?? 1,
      flops: size.flops / prepared.flops,
      params: size.params / prepared.params,
      ...metric.of(quality),
    });
    stage.update(values.length);
  }
  stage.finish();
  await sessions.close();
  await dense.close();
  return values;
}

async function show(name: string, model: BenchModel, results: readonly Result[]) {
  const labels = Object.fromEntries(chosen.map((method) => [method, (methods[method] as Method).label]));
  const rows = summarise(results);
  const { header, body } = tableOf(rows, labels, model.metric);
  const seeds = new Set(results.map(({ seed }) => seed)).size;
  const samples = results[0]?.samples ?? 0;
  const title = `${name}: ${model.metric.name} on ${samples} test examples, ${seeds === 1 ? 'one seed' : `mean of ${seeds} seeds ± their deviation`}`;
  const document = { model: name, metric: model.metric.name, samples, seeds, labels, rows };
  if (flags.docs !== undefined) {
    await mkdir(join(flags.docs, 'figures'), { recursive: true });
    const file = join(flags.docs, 'figures', name);
    await writeFile(`${file}.json`, `${JSON.stringify(document, null, 1)}\n`);
    await writePathChart(`${file}.svg`, title, rows, labels, model.metric);
  }
  if (flags.markdown) process.stdout.write(`${title}\n\n${markdown(header, body)}\n\n`);
  else if (!flags.json) process.stdout.write(`${title}\n${textTable(header, body)}\n\n`);
  return document;
}
