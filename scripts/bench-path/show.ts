/** Results of one model as tables, what they say, and files for the documents. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { textTable } from '../../trainer/cli/table.ts';
import { type Claim, claimsOf } from './claims.ts';
import { type MethodName, methods } from './methods.ts';
import { type BenchModel, type Metric, PROBE } from './models.ts';
import type { Result } from './results.ts';
import { costsOf, markdown, ofOther, type SummaryRow, seedsOf, summarise, tableOf } from './summary.ts';

export interface BenchDocument {
  readonly model: string;
  readonly metric: string;
  readonly measured: Metric['measured'];
  readonly samples: number;
  readonly seeds: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly rows: readonly SummaryRow[];
  readonly others: Readonly<Record<string, readonly SummaryRow[]>>;
  /** Epochs of the dense model's own training step, by method and part. */
  readonly epochs: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly claims: readonly Claim[];
}

export function documentOf(
  name: string,
  model: BenchModel,
  chosen: readonly MethodName[],
  results: readonly Result[],
): BenchDocument {
  const labels = Object.fromEntries(chosen.map((method) => [method, methods[method].label]));
  const rows = summarise(results);
  const epochs = costsOf(results);
  const probed = ofOther(results, PROBE);
  const { metric, halfLoss } = model;
  return {
    model: name,
    metric: metric.name,
    measured: metric.measured,
    samples: Math.max(0, ...results.map(({ samples }) => samples)),
    seeds: new Set(results.map(({ seed }) => seed)).size,
    labels,
    rows,
    others: probed === undefined ? {} : { [PROBE]: summarise(probed) },
    epochs,
    claims: claimsOf({
      rows,
      metric,
      halfLoss: halfLoss.bind(model),
      methods: Object.fromEntries(chosen.map((method) => [method, methods[method]])),
      epochs: Object.fromEntries(Object.entries(epochs).map(([method, { all = 0 }]) => [method, all])),
    }),
  };
}

/** JSON and the plot, named after the model. */
export async function writeDocument(
  folder: string,
  document: BenchDocument,
  { metric }: Pick<BenchModel, 'metric'>,
): Promise<void> {
  await mkdir(join(folder, 'figures'), { recursive: true });
  const file = join(folder, 'figures', document.model);
  await writeFile(`${file}.json`, `${JSON.stringify(document, null, 1)}\n`);
  // The chart library is large, and most runs draw nothing.
  const { writePathChart } = await import('./chart.ts');
  await writePathChart(`${file}.svg`, titleOf(document), document.rows, document.labels, metric);
}

export function textOf(
  document: BenchDocument,
  { metric }: Pick<BenchModel, 'metric'>,
  form: 'text' | 'markdown',
): string {
  const table = form === 'markdown' ? markdown : textTable;
  const gap = form === 'markdown' ? '\n\n' : '\n';
  const tableFor = (title: string, rows: readonly SummaryRow[], by: Pick<Metric, 'digits'>) => {
    const { header, body } = tableOf(rows, document.labels, by);
    return `${title}${gap}${table(header, body)}`;
  };
  const others = Object.entries(document.others).map(([other, rows]) =>
    tableFor(`${document.model}: ${other}`, rows, { digits: 2 }),
  );
  const costs = Object.entries(document.epochs).map(
    ([method, { all = 0, ...parts }]) =>
      `${document.labels[method]}: ${all.toFixed(2)} epochs (${Object.entries(parts)
        .map(([part, value]) => `${part} ${value.toFixed(2)}`)
        .join(', ')})`,
  );
  const claims = document.claims.map(
    ({ claim, holds, figures }) => `${holds ? 'holds' : 'FAILS'}: ${claim}: ${figures}`,
  );
  const list = (title: string, lines: readonly string[]) =>
    lines.length === 0
      ? []
      : [`${title}${gap}${lines.map((line) => (form === 'markdown' ? `- ${line}` : line)).join('\n')}`];
  return [
    tableFor(
      titleOf(document, (most) => `${most} seeds, or as many as in brackets,`),
      document.rows,
      metric,
    ),
    ...others,
    ...list("cost, in epochs of the dense model's own training step", costs),
    ...list('what this says', claims),
  ].join('\n\n');
}

/** @param fewer what is said where some means are of fewer seeds, after how many the others are of */
function titleOf(
  { model, metric, samples, rows }: BenchDocument,
  fewer: (most: number) => string = (most) => `up to ${most} seeds`,
): string {
  const { most, fewest } = seedsOf(rows);
  const seeds = fewest < most ? fewer(most) : `${most} seeds`;
  const spread = most === 1 ? 'one seed' : `mean of ${seeds} ± their deviation`;
  return `${model}: ${metric} on ${samples} test examples, ${spread}`;
}
