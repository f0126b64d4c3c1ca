/** `trainer build-path`: the offline job on one model. */
import { basename, join } from 'node:path';
import { Command, Option } from 'commander';
import { buildPath } from '../build/build-path.ts';
import { MOST_HOLDOUT } from '../build/calibration.ts';
import { type Estimate, estimateBuild } from '../build/estimate.ts';
import { type BuildOptions, buildOptionsSchema, lossNames } from '../build/options.ts';
import { preparedFor } from '../build/prepared-for.ts';
import type { Progress } from '../build/progress.ts';
import { textLength } from '../build/text-length.ts';
import { type DataSettings, DEFAULT_LENGTH } from '../data/data-settings.ts';
import { openDataset } from '../data/open-dataset.ts';
import { assertBackend, backendChoices } from '../engine/backend-names.ts';
import type { Graph } from '../graph/graph.ts';
import { readOnnxFile } from '../graph/onnx-load.ts';
import { taskNames } from '../measure/task.ts';
import { defaultRecovery } from '../recovery/plan.ts';
import { REPORT_FILE } from '../report/write-report.ts';
import { publishedForm } from '../search/published-form.ts';
import { addDataFlags, dataSettings, dataSpec } from './data-flags.ts';
import { flagValues, numberOf, pathOf } from './flag-values.ts';
import { interruptible } from './interruption.ts';
import { levelTable } from './level-table.ts';
import { terminalProgress } from './progress.ts';
import { textTable } from './table.ts';

/** Of a step of the search on text: about the work of a batch of small images. */
const TOKENS_A_STEP = 2048;

/** Options that commander reads as text; the schema turns them into what they are. */
const numeric = [
  'levels',
  'lowest',
  'seed',
  'steps',
  'batch',
  'workers',
  'workerThreads',
  'calibration',
  'testSamples',
  'latencyRounds',
  'recoverRate',
] as const;

export function buildPathCommand(): Command {
  const defaults = buildOptionsSchema.parse({ id: 'model' });
  const command = new Command('build-path')
    .description('Search the whole solution path of a model and write it as an artifact.')
    .argument('<model>', 'ONNX file, float32');
  return addDataFlags(command)
    .requiredOption('--out <directory>', 'where the artifact goes')
    .option('--id <name>', 'name under which the model is served (default: name of the model file)')
    .option('--levels <n>', 'number of levels', String(defaults.levels))
    .option(
      '--lowest <share>',
      "share of the dense model's FLOPs that the sparsest level keeps",
      String(defaults.lowest),
    )
    .addOption(
      new Option('--grid <share,..>', "instead: shares of the dense model's FLOPs, one a level").conflicts([
        'levels',
        'lowest',
      ]),
    )
    .option(
      '--align <units>',
      'round widths to multiples of so many units; auto: of as many as this machine is fastest with',
      String(defaults.align),
    )
    .option('--frontier', 'leave out levels that another beats in quality without being slower', false)
    .option(
      '--steps <n>',
      `steps of the search (default: ${defaults.steps}, of the published form ${publishedForm.steps}: before, none of its units enter)`,
    )
    .option(
      '--batch <n>',
      `examples a step (default: ${defaults.batch}, of text as many as have ${TOKENS_A_STEP} tokens)`,
    )
    .addOption(
      new Option('--task <task>', 'what quality means (default: by labels and outputs)').choices(taskNames),
    )
    .option('--output <name,..>', 'outputs that the path is to keep (default: those of the task)')
    .addOption(
      new Option(
        '--loss <loss>',
        'what the search keeps; distil: KL of scores, cosine of embeddings, else mse',
      )
        .choices(lossNames)
        .default(defaults.loss),
    )
    .addOption(
      new Option('--search <form>', "the inclusion, or the paper's published form for comparison")
        .choices(['inclusion', 'published'])
        .default(defaults.search),
    )
    .option('--no-rotate', 'leave attention pairs in their own basis')
    .option('--no-compensate', 'leave output matrices as they are')
    .option('--recover <steps>', 'steps of joint recovery of all levels, auto, or off', 'auto')
    .addOption(
      new Option(
        '--recover-weights <which>',
        'what recovery trains; auto: all where memory holds that, else vectors (scales and biases)',
      )
        .choices(['auto', 'all', 'pairs', 'vectors'])
        .default(defaults.recoverWeights),
    )
    .option(
      '--recover-rate <share>',
      'step size of recovery, relative to the weights',
      String(defaults.recoverRate),
    )
    .option('--seed <n>', 'seed of everything drawn', String(defaults.seed))
    .option('--calibration <n>', 'training examples to draw from', String(defaults.calibration))
    .option(
      '--test-samples <n>',
      'test examples that levels are measured on, at most',
      String(defaults.testSamples),
    )
    .option(
      '--latency-rounds <n>',
      'runs that each latency is taken from, at most',
      String(defaults.latencyRounds),
    )
    .addOption(
      new Option('--backend <name>', 'what computes gradients; trainer doctor compares them')
        .choices(backendChoices)
        .default(defaults.backend),
    )
    .option(
      '--workers <n>',
      'worker threads that share a step (default: as many as are fastest in a few steps)',
    )
    .option(
      '--worker-threads <n>',
      "onnxruntime's threads within a worker (default: likewise; 1 with --workers); without --workers as many as the cores hold",
    )
    .option('--recompute', 'compute activations twice instead of keeping them, where memory is short', false)
    .option('--dry-run', 'only estimate time and memory, on a few examples', false)
    .addOption(
      // Replaced, there would be nothing to go on with.
      new Option('--resume', 'go on with an interrupted build').default(false).conflicts('force'),
    )
    .option('--force', 'replace what the directory holds', false)
    .option('--json', 'print the levels as JSON', false)
    .action(async (model: string, flags: Record<string, unknown>) => {
      using progress = terminalProgress();
      const out = pathOf('out', flags.out, 'build-path');
      const graph = readOnnxFile(model);
      const spec = dataSpec(flags, graph.inputs);
      const settings = await withFittingLength(graph, flags, spec, progress);
      const options = parseOptions(model, flags, settings);
      assertBackend(options.backend, options.recompute);
      const reading = progress.stage('data', 1);
      const dataset = await openDataset(spec, {
        ...settings,
        seed: options.seed,
        most: { train: options.calibration + MOST_HOLDOUT + recovered(options), test: options.testSamples },
        note: (message) => progress.note(message),
      });
      reading.finish({ train: dataset.train.count, test: dataset.test.count });
      if (flags.dryRun === true) {
        const estimate = await estimateBuild(await preparedFor(model, dataset), dataset, options);
        process.stdout.write(flags.json === true ? `${JSON.stringify(estimate)}\n` : estimateTable(estimate));
        return;
      }
      using interruption = interruptible(progress);
      const manifest = await buildPath({
        modelPath: model,
        dataset,
        out,
        options,
        resume: flags.resume === true,
        force: flags.force === true,
        progress,
        signal: interruption.signal,
      });
      process.stdout.write(
        flags.json === true
          ? `${JSON.stringify(manifest.levels)}\n`
          : `${levelTable(manifest)}\nreport: ${join(out, REPORT_FILE)}\n`,
      );
    });
}

/** Texts whose length neither the command nor the model says are as long as the model takes. */
async function withFittingLength(
  graph: Graph,
  flags: Record<string, unknown>,
  spec: string,
  progress: Progress,
): Promise<DataSettings> {
  const settings = dataSettings(flags, graph.inputs);
  if (flags.length !== undefined || settings.length !== DEFAULT_LENGTH || !hasTokens(spec)) return settings;
  const length = await textLength(graph, DEFAULT_LENGTH);
  if (length < DEFAULT_LENGTH) progress.note(`examples have ${length} tokens, as many as the model takes`);
  return { ...settings, length };
}

/** Examples that recovery draws, so that it seldom sees one twice. */
function recovered({ recover, batch }: BuildOptions): number {
  if (recover === 'off') return 0;
  return batch * (recover === 'auto' ? defaultRecovery.steps : recover);
}

function estimateTable({ stages, seconds, memoryBytes, notes }: Estimate): string {
  const rows = [...stages, { stage: 'all', seconds }].map((each) => [each.stage, each.seconds.toFixed(0)]);
  const chosen = notes.map((note) => `${note}\n`).join('');
  return `${textTable(['stage', 'seconds'], rows)}\n${chosen}about ${(memoryBytes / 2 ** 20).toFixed(0)} MiB of memory; nothing was written\n`;
}

/** @throws `usage` with every wrong option named */
export function parseOptions(model: string, flags: Record<string, unknown>, { length = 1 }: DataSettings) {
  const given: Record<string, unknown> = {
    id: flags.id ?? modelId(model),
    loss: flags.loss,
    search: flags.search,
    rotate: flags.rotate,
    compensate: flags.compensate,
    grid: flags.grid === undefined ? undefined : String(flags.grid).split(',').map(numberOf),
    frontier: flags.frontier === true,
    recompute: flags.recompute === true,
    align: flags.align === 'auto' ? 'auto' : numberOf(flags.align),
    recover: Number.isNaN(numberOf(flags.recover)) ? flags.recover : numberOf(flags.recover),
    recoverWeights: flags.recoverWeights,
    backend: flags.backend,
    task: flags.task,
    outputs: flags.output === undefined ? undefined : String(flags.output).split(','),
    steps: flags.search === 'published' ? publishedForm.steps : undefined,
    batch: hasTokens(String(flags.data)) ? Math.max(4, Math.round(TOKENS_A_STEP / length)) : undefined,
  };
  for (const name of numeric) if (flags[name] !== undefined) given[name] = numberOf(flags[name]);
  return flagValues(buildOptionsSchema, given, {
    command: 'build-path',
    typed: flags,
    names: { outputs: 'output' },
  });
}

function modelId(path: string): string {
  return basename(path)
    .replace(/\.onnx$/, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]/g, '-');
}

/** Kinds of data whose examples are many tokens each, so that fewer of them are as much work. */
function hasTokens(spec: string): boolean {
  return spec.startsWith('text:') || spec.startsWith('jsonl:');
}
