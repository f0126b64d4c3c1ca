/**
 * npm run bench:path -- digits
 * Accuracy of every level by each way of ordering units, at equal FLOPs, on all test images, in one run.
 */
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Command } from 'commander';
import { curvatureOrder, magnitudeOrder, randomOrder } from '../trainer/baselines/orders.ts';
import { answerGraph } from '../trainer/build/answer.ts';
import { type CalibratedModel, calibrate } from '../trainer/build/calibrate-model.ts';
import { buildLevels } from '../trainer/build/level-stage.ts';
import { testAnswers } from '../trainer/build/measure-levels.ts';
import { buildOptionsSchema } from '../trainer/build/options.ts';
import { searchPath } from '../trainer/build/search-path.ts';
import { estimateCurvature } from '../trainer/build/search-stage.ts';
import { terminalProgress } from '../trainer/cli/progress.ts';
import { textTable } from '../trainer/cli/table.ts';
import { openDataset } from '../trainer/data/open-dataset.ts';
import { createMaskEngine } from '../trainer/engine/mask-engine.ts';
import { writeOnnx } from '../trainer/graph/onnx-file.ts';
import { measureQuality } from '../trainer/measure/quality.ts';
import { prepareModel } from '../trainer/pairs/prepare.ts';
import { allocateLevels, evenGrid, sizeAt } from '../trainer/search/allocate.ts';
import { pathOrder } from '../trainer/search/inclusion.ts';
import { indexUnits, orderByPair } from '../trainer/search/units.ts';
import { writePathChart } from './path-chart.ts';

const models: Readonly<Record<string, { path: string; data: string }>> = {
  digits: { path: 'examples/digits/digits.onnx', data: 'mnist' },
};

interface Method {
  readonly name: string;
  readonly calibrated: CalibratedModel;
  readonly order: readonly number[];
  readonly compensate: boolean;
}

const command = new Command('bench:path')
  .argument('<model>', `one of: ${Object.keys(models).join(', ')}`)
  .option('--seed <n>', 'seed of everything drawn', '0')
  .option('--steps <n>', 'steps of the search')
  .option('--backend <name>', 'what computes gradients', 'auto')
  .option('--levels <n>', 'levels from 25 % to 100 % of the FLOPs', '16')
  .option('--json', 'print JSON instead of a table', false)
  .option('--svg <file>', 'also draw accuracy against FLOPs')
  .parse();

const entry = models[command.args[0] ?? ''];
if (entry === undefined)
  command.error(`unknown model ${command.args[0]}; one of: ${Object.keys(models).join(', ')}`, {
    exitCode: 2,
  });
else await bench(entry, command.opts());

async function bench(
  model: { path: string; data: string },
  flags: Record<string, string | boolean>,
): Promise<void> {
  const started = performance.now();
  const options = buildOptionsSchema.parse({
    id: 'bench',
    seed: Number(flags.seed),
    levels: Number(flags.levels),
    backend: flags.backend,
    ...(flags.steps === undefined ? {} : { steps: Number(flags.steps) }),
  });
  using progress = terminalProgress();
  const dataset = await openDataset(model.data);
  const prepared = await prepareModel(
    await readFile(new URL(`../${model.path}`, import.meta.url)),
    model.path,
  );
  const { pairs } = prepared;
  const rotated = await calibrate(prepared, dataset, options, progress);
  const unrotated = await calibrate(prepared, dataset, { ...options, rotate: false }, progress);
  const [fisher, rotatedFisher] = [await curvatureOf(unrotated), await curvatureOf(rotated)];
  const searchStarted = performance.now();
  const ours = pathOrder(await searchPath(rotated, options, progress));
  const searchS = (performance.now() - searchStarted) / 1000;

  const methods: Method[] = [
    { name: 'random', calibrated: unrotated, order: randomOrder(pairs, options.seed), compensate: false },
    {
      name: 'magnitude',
      calibrated: unrotated,
      order: magnitudeOrder(prepared.graph, pairs),
      compensate: false,
    },
    { name: 'Fisher', calibrated: unrotated, order: curvatureOrder(pairs, fisher), compensate: false },
    {
      name: 'Fisher rot.',
      calibrated: rotated,
      order: curvatureOrder(pairs, rotatedFisher),
      compensate: false,
    },
    { name: 'ours', calibrated: rotated, order: ours, compensate: false },
    { name: 'ours comp.', calibrated: rotated, order: ours, compensate: true },
  ];
  const shares = evenGrid(options.levels, options.lowest);
  const columns: number[][] = [];
  for (const method of methods) columns.push(await accuracies(method));
  const ourWidths = allocateLevels(pairs, ours, prepared.flops, shares);
  const rows = shares.map((_, level) => {
    const size = sizeAt(pairs, ourWidths[level] ?? [], prepared);
    return {
      level,
      flops: size.flops / prepared.flops,
      params: size.params / prepared.params,
      accuracy: Object.fromEntries(methods.map(({ name }, m) => [name, columns[m]?.[level] ?? Number.NaN])),
    };
  });
  const totalS = (performance.now() - started) / 1000;
  if (typeof flags.svg === 'string')
    await writePathChart(
      flags.svg,
      `${model.path.split('/').at(-1)}: ${dataset.test.count} test images, equal FLOPs`,
      rows,
    );
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify({ model: model.path, options, rows, searchS, totalS })}\n`);
    return;
  }
  const header = ['level', 'FLOPs %', 'params %', ...methods.map(({ name }) => name)];
  const body = rows.map((row) => [
    String(row.level),
    (100 * row.flops).toFixed(1),
    (100 * row.params).toFixed(1),
    ...Object.values(row.accuracy).map((value) => value.toFixed(4)),
  ]);
  process.stdout.write(`${textTable(header, body)}\n`);
  process.stdout.write(
    `Accuracy on ${dataset.test.count} test images; equal FLOPs in a row, params are ours. Seed ${options.seed}, ${options.steps} steps: search ${searchS.toFixed(0)} s, all ${totalS.toFixed(0)} s.\n`,
  );

  async function curvatureOf({ model: subject, pool, teacher }: CalibratedModel): Promise<Float64Array> {
    const engine = await createMaskEngine({
      graph: answerGraph(subject.graph, pool.task),
      pairs,
      backend: options.backend,
      workers: options.workers ?? Math.min(8, availableParallelism()),
    });
    try {
      const { batch, seed } = options;
      const stage = progress.stage('Fisher', 24);
      const context = { engine, pairs, pool, teacher, batch, loss: 'cross-entropy' as const, seed };
      const curvature = await estimateCurvature(context, stage);
      stage.finish();
      return curvature;
    } finally {
      await engine.close();
    }
  }

  async function accuracies({ name, calibrated, order, compensate }: Method): Promise<number[]> {
    const widths = allocateLevels(pairs, order, prepared.flops, shares);
    const levels = await buildLevels(
      calibrated,
      orderByPair(indexUnits(pairs), order),
      widths,
      { compensate },
      progress,
    );
    const stage = progress.stage(name, levels.length);
    const column: number[] = [];
    const dense = await testAnswers(calibrated, dataset.test.count);
    for (const { cut } of levels) {
      const { pool } = calibrated;
      const { value } = await measureQuality({
        task: pool.task.name,
        model: writeOnnx(answerGraph(cut, pool.task)),
        output: pool.output,
        dense,
        split: pool.data.test,
        samples: dataset.test.count,
        block: pool.block,
        threads: availableParallelism(),
      });
      column.push(value);
      stage.update(column.length);
    }
    stage.finish();
    await dense.close();
    return column;
  }
}
