/** `trainer build-path`: the offline job on one model. */
import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import { buildPath } from '../build/build-path.ts';
import { buildOptionsSchema } from '../build/options.ts';
import { mnistNormalisation } from '../data/dataset.ts';
import { openDataset } from '../data/open-dataset.ts';
import { levelTable } from './level-table.ts';
import { terminalProgress } from './progress.ts';

/** Options that commander reads as text; the schema turns them into what they are. */
const numeric = [
  'levels',
  'lowest',
  'seed',
  'steps',
  'batch',
  'workers',
  'calibration',
  'testSamples',
] as const;

export function buildPathCommand(): Command {
  const defaults = buildOptionsSchema.parse({ id: 'model' });
  return new Command('build-path')
    .description('Search the whole solution path of a model and write it as an artifact.')
    .argument('<model>', 'ONNX file, float32')
    .requiredOption('--data <spec>', 'mnist, or idx:DIRECTORY of IDX files')
    .requiredOption('--out <directory>', 'where the artifact goes')
    .option('--id <name>', 'name under which the model is served (default: name of the model file)')
    .option('--levels <n>', 'number of levels', String(defaults.levels))
    .option(
      '--lowest <share>',
      "share of the dense model's FLOPs that the sparsest level keeps",
      String(defaults.lowest),
    )
    .option('--steps <n>', 'steps of the search', String(defaults.steps))
    .option('--batch <n>', 'examples a step', String(defaults.batch))
    .addOption(
      new Option('--loss <loss>', 'what the search keeps')
        .choices(['distil', 'cross-entropy'])
        .default(defaults.loss),
    )
    .option('--no-rotate', 'leave attention pairs in their own basis')
    .option('--no-compensate', 'leave output matrices as they are')
    .option('--seed <n>', 'seed of everything drawn', String(defaults.seed))
    .option('--calibration <n>', 'training examples to draw from', String(defaults.calibration))
    .option('--test-samples <n>', 'test examples that levels are measured on', String(defaults.testSamples))
    .option('--mean <x>', 'mean of the normalised pixels', String(mnistNormalisation.mean[0]))
    .option('--std <x>', 'deviation of the normalised pixels', String(mnistNormalisation.std[0]))
    .option(
      '--backend <name>',
      'TensorFlow.js backend: auto, tfjs-node-gpu, tfjs-node, wasm or cpu',
      defaults.backend,
    )
    .option('--workers <n>', 'worker threads of the search (default: one a core)')
    .option('--resume', 'go on with an interrupted build', false)
    .option('--force', 'replace what the directory holds', false)
    .option('--json', 'print the levels as JSON', false)
    .action(async (model: string, flags: Record<string, unknown>) => {
      const options = parseOptions(model, flags);
      const normalisation = {
        scale: 1 / 255,
        mean: [numberFlag(flags, 'mean')],
        std: [numberFlag(flags, 'std')],
      };
      const dataset = await openDataset(String(flags.data), { normalisation });
      using progress = terminalProgress();
      const interruption = interruptible();
      try {
        const manifest = await buildPath({
          modelPath: model,
          dataset,
          out: String(flags.out),
          options,
          resume: flags.resume === true,
          force: flags.force === true,
          progress,
          signal: interruption.signal,
        });
        process.stdout.write(
          flags.json === true ? `${JSON.stringify(manifest.levels)}\n` : `${levelTable(manifest)}\n`,
        );
      } finally {
        interruption.dispose();
      }
    });
}

/** @throws `usage` with every wrong option named */
function parseOptions(model: string, flags: Record<string, unknown>) {
  const given: Record<string, unknown> = {
    id: flags.id ?? modelId(model),
    loss: flags.loss,
    rotate: flags.rotate,
    compensate: flags.compensate,
    backend: flags.backend,
  };
  for (const name of numeric) if (flags[name] !== undefined) given[name] = Number(flags[name]);
  const parsed = buildOptionsSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new SppError('usage', `build-path: ${z.prettifyError(parsed.error).replaceAll(/\s+/g, ' ')}.`, {
    hint: 'See trainer build-path --help.',
  });
}

function modelId(path: string): string {
  return basename(path)
    .replace(/\.onnx$/, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]/g, '-');
}

function numberFlag(flags: Record<string, unknown>, name: string): number {
  const value = Number(flags[name]);
  if (!Number.isFinite(value) || (name === 'std' && value <= 0)) {
    throw new SppError('usage', `--${name} ${String(flags[name])} is not a usable number.`);
  }
  return value;
}

/** First Ctrl-C or SIGTERM: stop after the step at hand and keep a checkpoint. Second: stop at once. */
function interruptible(): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write('\nstopping after this step; once more to stop at once\n');
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return {
    signal: controller.signal,
    dispose: () => {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
    },
  };
}
