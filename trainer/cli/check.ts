/** `trainer check`: will my model work? */
import { basename } from 'node:path';
import { Command } from 'commander';
import { SppError } from '../../schema/errors.ts';
import { checkModel, type ModelCheck, passes, tolerances } from '../check/model-check.ts';
import { startBackend } from '../engine/backend.ts';
import { readOnnxFile } from '../graph/onnx-load.ts';
import { preparePairs } from '../pairs/prepare.ts';

export function checkCommand(): Command {
  return new Command('check')
    .description(
      'Hold a model to onnxruntime on random inputs: the interpreter, cutting against masking, and mask gradients.',
    )
    .argument('<file>', 'an ONNX file')
    .option('--json', 'print JSON', false)
    .action(async (file: string, flags: { json: boolean }) => {
      const graph = readOnnxFile(file);
      const model = await preparePairs(graph, basename(file));
      await startBackend('cpu');
      const result = await checkModel(graph, model);
      process.stdout.write(flags.json ? `${JSON.stringify(result)}\n` : `${checkText(result)}\n`);
      if (!passes(result)) throw failed(basename(file), result);
    });
}

const LABELS = {
  parity: 'interpreter against onnxruntime',
  cutting: 'cutting against masking',
  gradient: 'mask gradients against differences',
} as const satisfies Record<keyof ModelCheck, string>;

function checkText(result: ModelCheck): string {
  return Object.entries(LABELS)
    .map(([part, label]) => {
      const { maxRelativeError } = result[part as keyof ModelCheck];
      const verdict = maxRelativeError <= tolerances[part as keyof ModelCheck] ? 'ok' : 'FAILS';
      return `${label.padEnd(36)}${maxRelativeError.toExponential(1).padStart(9)}  ${verdict}`;
    })
    .join('\n');
}

function failed(source: string, result: ModelCheck): SppError {
  const parts = Object.entries(LABELS).filter(
    ([part]) => !(result[part as keyof ModelCheck].maxRelativeError <= tolerances[part as keyof ModelCheck]),
  );
  return new SppError(
    'numerical-failure',
    `${source} does not hold: ${parts.map(([, label]) => label).join(', ')}.`,
    {
      hint: 'Report the model; a path built from it would not be exact.',
    },
  );
}
