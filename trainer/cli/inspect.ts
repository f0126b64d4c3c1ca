/** `trainer inspect`: what can be cut in a model, what cannot, and why. */
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { SppError } from '../../schema/errors.ts';
import { readModelFile, readOnnxFile } from '../graph/onnx-load.ts';
import { type OperatorUse, surveyOperators, withLeftovers } from '../graph/operator-survey.ts';
import { inPlainOperators } from '../graph/prepare.ts';
import type { LeftAlone, PreparedModel } from '../pairs/pair.ts';
import { preparePairs, type TracedModel } from '../pairs/prepare.ts';
import { reachOfPairs } from '../pairs/reach.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import { operators, operatorsText } from './operators.ts';
import { dotPicture, htmlPicture } from './picture.ts';
import { textTable } from './table.ts';

interface Flags {
  readonly json: boolean;
  readonly dot: boolean;
  readonly ops: boolean;
  readonly html?: string;
}

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('Show the pairs that a path can cut in a model, and what it leaves alone.')
    .argument('<file>', 'an ONNX file')
    .addOption(new Option('--json', 'print JSON').default(false).conflicts('dot'))
    .option('--dot', "print the model's linear maps as a graph in Graphviz' language", false)
    .addOption(
      new Option(
        '--ops',
        'list the operators that the file uses, and those that cannot be run; pairs are not looked for',
      )
        .default(false)
        .conflicts(['dot', 'html']),
    )
    .option('--html <file>', 'also write a page with the table and a picture of that graph')
    .action(async (file: string, flags: Flags) => {
      if (flags.ops) {
        const uses = await survey(file);
        process.stdout.write(
          flags.json ? `${JSON.stringify(operators(uses))}\n` : `${operatorsText(uses)}\n`,
        );
        return;
      }
      const model = await preparePairs(readOnnxFile(file), basename(file));
      if (flags.html !== undefined)
        await writePage(flags.html, await htmlPicture(basename(file), inspectionText(model), model));
      process.stdout.write(printed(model, flags));
    });
}

async function writePage(path: string, page: string): Promise<void> {
  await writeFile(path, page).catch((cause: unknown) => {
    throw new SppError('usage', `The page ${path} cannot be written.`, {
      hint: 'Check that its folder is there and may be written to.',
      cause,
    });
  });
}

/** Where nothing else is missing, operators are really taken apart, so that this and `check` agree. */
async function survey(file: string): Promise<OperatorUse[]> {
  const uses = surveyOperators(readModelFile(file));
  const isOpen =
    uses.some(({ state }) => state === 'taken apart' || state === 'decided') &&
    !uses.some(({ state }) => state === 'missing');
  return isOpen ? withLeftovers(uses, await inPlainOperators(readOnnxFile(file), basename(file))) : uses;
}

function printed(model: TracedModel, { json, dot }: Flags): string {
  if (json) return `${JSON.stringify(inspection(model))}\n`;
  return dot ? dotPicture(model) : `${inspectionText(model)}\n`;
}

/** The machine-readable form, fixed so that scripts can rely on it. */
export function inspection(model: PreparedModel) {
  const { pairs, leftAlone, flops, params } = model;
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
    reach: { flops, params, ...reachOfPairs(model) },
  };
}

/** The same for people. */
export function inspectionText(model: TracedModel): string {
  const { pairs, leftAlone, flops, params } = model;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const rows = pairs.map(({ name, kind, heads, kvHeads, units, flopsPerUnit, paramsPerUnit }) => [
    name,
    kind,
    kvHeads === undefined ? String(heads) : `${heads} (${kvHeads} kv)`,
    String(units),
    (flopsPerUnit / 1000).toFixed(1),
    String(paramsPerUnit),
    percent((flopsPerUnit * units) / flops),
  ]);
  const header = ['pair', 'kind', 'heads', 'units', 'kFLOPs/unit', 'params/unit', 'of all FLOPs'];
  const { flopsPercent, paramsPercent } = reachOfPairs(model);
  return [
    textTable(header, rows),
    '',
    ...leftAloneLines(leftAlone),
    '',
    `A path reaches ${flopsPercent.toFixed(1)} % of ${(flops / 1e6).toFixed(1)} MFLOPs and ${paramsPercent.toFixed(1)} % of ${params} parameters.`,
    ...countedShapes(model),
  ].join('\n');
}

/** What FLOPs are counted for, where the file leaves it open. */
function countedShapes({ graph, sizes }: TracedModel): string[] {
  const [, , single] = sizes;
  const isOpen = graph.inputs.some(({ dims }) => dims.slice(1).some((dim) => typeof dim === 'string'));
  if (single === undefined || !isOpen) return [];
  const shapes = Object.entries(sampleInputs(graph, single, 0)).map(
    ([name, { dims }]) => `${name} [${dims.join(', ')}]`,
  );
  return [`FLOPs are those of ${shapes.join(', ')}; build-path counts those of the data's examples.`];
}

/** Names shown for each reason. */
const SHOWN = 4;

/** One line a reason: a deep model leaves the same thing alone in every layer. */
function leftAloneLines(leftAlone: readonly LeftAlone[]): string[] {
  if (leftAlone.length === 0) return ['Nothing was left alone.'];
  const byReason = new Map<string, string[]>();
  for (const { name, reason } of leftAlone) byReason.set(reason, [...(byReason.get(reason) ?? []), name]);
  const lines = [...byReason].map(([reason, names]) => {
    const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
    return `  ${names.slice(0, SHOWN).join(', ')}${more}: ${reason}`;
  });
  return [`Left alone: ${leftAlone.length}`, ...lines];
}
