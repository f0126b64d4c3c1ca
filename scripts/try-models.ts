/**
 * Tries every ONNX file of a folder: which pairs are found, whether cutting is exact, whether the interpreter agrees.
 *
 *   npm run -s fixtures:try -- DIR [--only REGEXP] [--reasons] [--results FILE.json] [--markdown FILE.md]
 *
 * `NAME.expected.json` beside a file counts the pairs that its architecture has (see scripts/fixtures). Results are added to those
 * that the results file holds, so that a long list can be tried in parts; the table is made of all of them.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Command } from 'commander';
import { z } from 'zod';
import { checkModel, type ModelCheck, tolerances } from '../trainer/check/model-check.ts';
import { textTable } from '../trainer/cli/table.ts';
import { startBackend } from '../trainer/engine/backend.ts';
import { readOnnxFile } from '../trainer/graph/onnx-load.ts';
import type { PreparedModel } from '../trainer/pairs/pair.ts';
import { preparePairs } from '../trainer/pairs/prepare.ts';
import { reachOfPairs } from '../trainer/pairs/reach.ts';

const counts = z.object({ query_key: z.number(), value_projection: z.number(), mlp: z.number() });
type Counts = z.infer<typeof counts>;
const KINDS = ['query_key', 'value_projection', 'mlp'] as const satisfies readonly (keyof Counts)[];

const attemptSchema = z.object({
  name: z.string(),
  expected: counts.optional(),
  found: counts.optional(),
  flopsPercent: z.number().optional(),
  paramsPercent: z.number().optional(),
  /** Linears left alone, by reason. */
  alone: z.record(z.string(), z.number()).optional(),
  /** Largest relative error of each part of `trainer check`. */
  errors: z.record(z.string(), z.number()).optional(),
  error: z.string().optional(),
});
type Attempt = z.infer<typeof attemptSchema>;

const HEADER = [
  'model',
  'query-key',
  'value-proj',
  'mlp',
  'FLOPs %',
  'params %',
  'parity',
  'cutting',
  'gradient',
  'verdict',
];
/** Of an error's message. */
const LONGEST = 160;

interface Flags {
  readonly only: string;
  readonly reasons: boolean;
  readonly results?: string;
  readonly markdown?: string;
}

const command = new Command('npm run -s fixtures:try --')
  .description('tries every ONNX file of a folder: which pairs are found, and whether all is exact')
  .argument('<directory>', 'of ONNX files')
  .option('--only <regexp>', 'files whose names match', '')
  .option('--reasons', 'also why linears were left alone', false)
  .option('--results <file>', 'JSON that results are added to')
  .option('--markdown <file>', 'of the table of all results')
  .parse();
const [directory = ''] = command.args;
if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory())
  command.error(`error: ${directory} is no directory`, { exitCode: 2 });
const values = command.opts<Flags>();
const known =
  values.results !== undefined && existsSync(values.results) ? readFileSync(values.results, 'utf8') : '[]';
const attempts = new Map(
  z
    .array(attemptSchema)
    .parse(JSON.parse(known))
    .map((attempt) => [attempt.name, attempt]),
);

await startBackend('cpu');
const only = new RegExp(values.only);
for (const file of readdirSync(directory).sort()) {
  if (!file.endsWith('.onnx') || !only.test(file)) continue;
  const attempt = await tryModel(join(directory, file));
  attempts.set(attempt.name, attempt);
  process.stdout.write(`${rowOf(attempt).join('  ')}\n`);
  if (values.reasons)
    for (const [reason, count] of Object.entries(attempt.alone ?? {}))
      process.stdout.write(`    ${count} x ${reason}\n`);
  if (values.results !== undefined)
    writeFileSync(values.results, `${JSON.stringify([...attempts.values()], null, 1)}\n`);
}
const all = [...attempts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
process.stdout.write(`\n${textTable(HEADER, all.map(rowOf))}\n\n${summary(all)}\n`);
if (values.markdown !== undefined) writeFileSync(values.markdown, markdown(all));

async function tryModel(file: string): Promise<Attempt> {
  const beside = file.replace(/\.onnx$/, '.expected.json');
  const expected = existsSync(beside) ? counts.parse(JSON.parse(readFileSync(beside, 'utf8'))) : undefined;
  const attempt: Attempt = { name: basename(file, '.onnx'), ...(expected ? { expected } : {}) };
  try {
    const graph = readOnnxFile(file);
    const model = await preparePairs(graph, basename(file));
    Object.assign(attempt, found(model));
    const check = await checkModel(graph, model);
    attempt.errors = Object.fromEntries(
      Object.entries(check).map(([part, { maxRelativeError }]) => [part, maxRelativeError]),
    );
  } catch (error) {
    attempt.error = (error instanceof Error ? error.message : String(error)).slice(0, LONGEST);
  }
  return attempt;
}

function found(model: PreparedModel): Partial<Attempt> {
  const count = (...kinds: string[]) => model.pairs.filter(({ kind }) => kinds.includes(kind)).length;
  const alone: Record<string, number> = {};
  for (const { reason } of model.leftAlone) alone[reason] = (alone[reason] ?? 0) + 1;
  return {
    found: {
      query_key: count('query-key'),
      value_projection: count('value-projection'),
      mlp: count('sequential', 'gated'),
    },
    alone,
    ...reachOfPairs(model),
  };
}

function rowOf(attempt: Attempt): string[] {
  const { name, expected, found: pairs, flopsPercent, paramsPercent, errors } = attempt;
  const shown = (part: keyof ModelCheck) => errors?.[part]?.toExponential(0) ?? '-';
  return [
    name,
    ...KINDS.map((kind) => `${pairs?.[kind] ?? '-'}${expected === undefined ? '' : `/${expected[kind]}`}`),
    flopsPercent?.toFixed(1) ?? '-',
    paramsPercent?.toFixed(1) ?? '-',
    shown('parity'),
    shown('cutting'),
    shown('gradient'),
    verdict(attempt),
  ];
}

function verdict({ expected, found: pairs, errors, error }: Attempt): string {
  if (error !== undefined || !pairs || !errors) return `error: ${error ?? 'not tried'}`;
  const wrong = Object.entries(tolerances).filter(([part, most]) => !((errors[part] ?? Number.NaN) <= most));
  if (wrong.length > 0) return `FAILS ${wrong.map(([part]) => part).join(', ')}`;
  const fewer = KINDS.filter((kind) => expected && pairs[kind] < expected[kind]);
  return fewer.length > 0 ? `fewer ${fewer.join(', ')}` : 'ok';
}

function summary(tried: readonly Attempt[]): string {
  const ok = tried.filter((attempt) => verdict(attempt) === 'ok').length;
  return `${ok} of ${tried.length} files: all expected pairs found, everything exact.`;
}

function markdown(tried: readonly Attempt[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return `${[line(HEADER), line(HEADER.map(() => '---')), ...tried.map((attempt) => line(rowOf(attempt)))].join('\n')}\n`;
}
