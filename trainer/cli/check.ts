/** `trainer check`: will my model work? */
import { basename } from 'node:path';
import { Command } from 'commander';
import { SppError } from '../../schema/errors.ts';
import { checkedParts, checkModel, failedParts, type ModelCheck } from '../check/model-check.ts';
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
      const failed = failedParts(result);
      if (failed.length > 0) throw doesNotHold(basename(file), failed);
    });
}

const LABELS = {
  parity: 'interpreter against onnxruntime',
  cutting: 'cutting against masking',
  gradient: 'mask gradients against differences',
} as const satisfies Record<keyof ModelCheck, string>;

function checkText(result: ModelCheck): string {
  const failed = failedParts(result);
  return checkedParts
    .map((part) => {
      const error = result[part].maxRelativeError.toExponential(1);
      return `${LABELS[part].padEnd(36)}${error.padStart(9)}  ${failed.includes(part) ? 'FAILS' : 'ok'}`;
    })
    .join('\n');
}

function doesNotHold(source: string, failed: readonly (keyof ModelCheck)[]): SppError {
  return new SppError(
    'numerical-failure',
    `${source} does not hold: ${failed.map((part) => LABELS[part]).join(', ')}.`,
    {
      hint: 'Report the model; a path built from it would not be exact.',
    },
  );
}
