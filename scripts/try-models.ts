/**
 * Tries every ONNX file of a folder: which pairs are found, whether cutting is exact, whether the interpreter agrees.
 *
 *   npm run -s fixtures:try -- DIR [--only TEXT] [--markdown FILE] [--reasons]
 *
 * `NAME.expected.json` beside a file counts the pairs that its architecture has (see scripts/fixtures).
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { checkModel, type ModelCheck, tolerances } from '../trainer/check/model-check.ts';
import { textTable } from '../trainer/cli/table.ts';
import { startBackend } from '../trainer/engine/backend.ts';
import { readOnnxFile } from '../trainer/graph/onnx-load.ts';
import type { PreparedModel } from '../trainer/pairs/pair.ts';
import { preparePairs } from '../trainer/pairs/prepare.ts';
import { reachOfPairs } from '../trainer/pairs/reach.ts';

const expectedPairs = z.object({ query_key: z.number(), value_projection: z.number(), mlp: z.number() });
type Counts = z.infer<typeof expectedPairs>;

interface Attempt {
  readonly name: string;
  readonly expected?: Counts;
  readonly model?: PreparedModel;
  readonly check?: ModelCheck;
  readonly error?: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    markdown: { type: 'string' },
    reasons: { type: 'boolean', default: false },
  },
});
const [directory] = positionals;
if (directory === undefined) throw new Error('Name the folder of ONNX files to try.');

await startBackend('cpu');
const files = readdirSync(directory).filter(
  (file) => file.endsWith('.onnx') && (values.only === undefined || new RegExp(values.only).test(file)),
);
const attempts: Attempt[] = [];
for (const file of files.sort()) {
  const attempt = await tryModel(join(directory, file));
  attempts.push(attempt);
  process.stdout.write(`${rowOf(attempt).join('  ')}\n`);
  if (values.reasons)
    for (const { name, reason } of attempt.model?.leftAlone ?? [])
      process.stdout.write(`    ${name}: ${reason}\n`);
}
process.stdout.write(`\n${textTable(HEADER(), attempts.map(rowOf))}\n\n${summary(attempts)}\n`);
if (values.markdown !== undefined) writeFileSync(values.markdown, markdown(attempts));

async function tryModel(file: string): Promise<Attempt> {
  const beside = file.replace(/\.onnx$/, '.expected.json');
  const known = existsSync(beside)
    ? { expected: expectedPairs.parse(JSON.parse(readFileSync(beside, 'utf8'))) }
    : {};
  const attempt = { name: basename(file, '.onnx'), ...known };
  let model: PreparedModel | undefined;
  try {
    const graph = readOnnxFile(file);
    const traced = await preparePairs(graph, basename(file));
    model = traced;
    return { ...attempt, model, check: await checkModel(graph, traced) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { ...attempt, ...(model ? { model } : {}), error: message.slice(0, 200) };
  }
}

function countsOf({ pairs }: PreparedModel): Counts {
  const count = (...kinds: string[]) => pairs.filter(({ kind }) => kinds.includes(kind)).length;
  return {
    query_key: count('query-key'),
    value_projection: count('value-projection'),
    mlp: count('sequential', 'gated'),
  };
}

function HEADER(): string[] {
  return [
    'model',
    'query-key',
    'value-proj',
    'mlp',
    'alone',
    'FLOPs %',
    'params %',
    'parity',
    'cutting',
    'gradient',
    'verdict',
  ];
}

function rowOf({ name, expected, model, check, error }: Attempt): string[] {
  const counts = model && countsOf(model);
  const of = (kind: keyof Counts) =>
    `${counts?.[kind] ?? '-'}${expected === undefined ? '' : `/${expected[kind]}`}`;
  const reach = model && reachOfPairs(model);
  const shown = (value: number | undefined) => (value === undefined ? '-' : value.toExponential(0));
  return [
    name,
    of('query_key'),
    of('value_projection'),
    of('mlp'),
    String(model?.leftAlone.length ?? '-'),
    reach ? reach.flopsPercent.toFixed(1) : '-',
    reach ? reach.paramsPercent.toFixed(1) : '-',
    shown(check?.parity.maxRelativeError),
    shown(check?.cutting.maxRelativeError),
    shown(check?.gradient.maxRelativeError),
    verdict({ name, expected, model, check, error } as Attempt),
  ];
}

function verdict({ expected, model, check, error }: Attempt): string {
  if (error !== undefined) return `error: ${error}`;
  if (!model || !check) return 'not tried';
  const counts = countsOf(model);
  const missing = expected
    ? (Object.keys(expected) as (keyof Counts)[]).filter((kind) => counts[kind] < expected[kind])
    : [];
  const wrong = (Object.keys(tolerances) as (keyof ModelCheck)[]).filter(
    (part) => !(check[part].maxRelativeError <= tolerances[part]),
  );
  if (wrong.length > 0) return `FAILS ${wrong.join(', ')}`;
  return missing.length > 0 ? `fewer: ${missing.join(', ')}` : 'ok';
}

function summary(all: readonly Attempt[]): string {
  const ok = all.filter((attempt) => verdict(attempt) === 'ok').length;
  return `${ok} of ${all.length} files: all expected pairs found, everything exact.`;
}

function markdown(all: readonly Attempt[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return `${[line(HEADER()), line(HEADER().map(() => '---')), ...all.map((attempt) => line(rowOf(attempt)))].join('\n')}\n`;
}
