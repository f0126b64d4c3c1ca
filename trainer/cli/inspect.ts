/** `trainer inspect`: what can be cut in a model, what cannot, and why. */
import { basename } from 'node:path';
import { Command } from 'commander';
import { readOnnxFile } from '../graph/onnx-load.ts';
import type { Pair, PreparedModel } from '../pairs/pair.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { textTable } from './table.ts';

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('Show the pairs that a path can cut in a model, and what it leaves alone.')
    .argument('<file>', 'an ONNX file')
    .option('--json', 'print JSON', false)
    .action(async (file: string, flags: { json: boolean }) => {
      const model = await preparePairs(readOnnxFile(file), basename(file));
      process.stdout.write(
        flags.json ? `${JSON.stringify(inspection(model))}\n` : `${inspectionText(model)}\n`,
      );
    });
}

/** The machine-readable form, fixed so that scripts can rely on it. */
export function inspection({ pairs, leftAlone }: PreparedModel) {
  return {
    pairs: pairs.map(({ name, kind, heads, kvHeads, units, flopsPerUnit, paramsPerUnit }) => ({
      name,
      kind,
      heads,
      ...(kvHeads === undefined ? {} : { kvHeads }),
      units,
      flopsPerUnit,
      paramsPerUnit,
    })),
    leftAlone: leftAlone.map(({ name, reason }) => ({ name, reason })),
  };
}

/** The same for people. */
export function inspectionText({ pairs, leftAlone, flops, params }: PreparedModel): string {
  const rows = pairs.map(({ name, kind, heads, kvHeads, units, flopsPerUnit, paramsPerUnit }) => [
    name,
    kind,
    kvHeads === undefined ? String(heads) : `${heads} (${kvHeads} kv)`,
    String(units),
    (flopsPerUnit / 1000).toFixed(1),
    String(paramsPerUnit),
  ]);
  const table = textTable(['pair', 'kind', 'heads', 'units', 'kFLOPs/unit', 'params/unit'], rows);
  const reach = (perUnit: (pair: Pair) => number, all: number) =>
    `${((100 * pairs.reduce((sum, pair) => sum + perUnit(pair) * pair.units, 0)) / all).toFixed(1)} %`;
  const alone =
    leftAlone.length === 0
      ? 'Nothing was left alone.'
      : ['Left alone:', ...leftAlone.map(({ name, reason }) => `  ${name}: ${reason}`)].join('\n');
  return [
    table,
    '',
    alone,
    '',
    `A path reaches ${reach((pair) => pair.flopsPerUnit, flops)} of ${(flops / 1e6).toFixed(1)} MFLOPs and ${reach(
      (pair) => pair.paramsPerUnit,
      params,
    )} of ${params} parameters.`,
  ].join('\n');
}
