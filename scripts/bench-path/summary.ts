/** From results of several seeds to a table and a document: means over seeds, and how far seeds and test sampling spread. */
import type { Metric } from './models.ts';
import type { Result } from './results.ts';

export interface Cell {
  readonly mean: number;
  /** Half of the 95 % interval of a single measurement, by the test examples. */
  readonly halfInterval: number;
  /** Standard deviation over seeds; 0 with one. */
  readonly deviation: number;
  readonly seeds: number;
  /** The measurements, by seed. */
  readonly values: Readonly<Record<number, number>>;
}

/** The same of a metric that levels are not compared by. @returns undefined where no result has it */
export function ofOther(results: readonly Result[], metric: string): Result[] | undefined {
  const those = results.flatMap((result) => {
    const levels = result.levels.flatMap((level) => {
      const other = level.others?.[metric];
      return other === undefined ? [] : [{ ...level, ...other }];
    });
    return levels.length === result.levels.length ? [{ ...result, levels }] : [];
  });
  return those.length === 0 ? undefined : those;
}

/** Epochs of each method's parts, and altogether; means over seeds, but for those that are measured in part and have no cost yet. */
export function costsOf(results: readonly Result[]): Record<string, Record<string, number>> {
  const methods = [...new Set(results.map(({ method }) => method))];
  return Object.fromEntries(
    methods.flatMap((method) => {
      const own = results
        .filter((result) => result.method === method)
        .map(({ epochs }) => epochs)
        .filter((epochs) => Object.keys(epochs).length > 0);
      const parts = Object.keys(own[0] ?? {});
      if (parts.length === 0) return [];
      const means = parts.map((part) => [part, average(own.map((epochs) => epochs[part] ?? 0))] as const);
      const all = means.reduce((sum, [, value]) => sum + value, 0);
      return [[method, { ...Object.fromEntries(means), all }]];
    }),
  );
}

export interface SummaryRow {
  readonly reachable: number;
  readonly flops: number;
  readonly params: number;
  readonly cells: Readonly<Record<string, Cell>>;
}

/** Rows by falling share, one cell a method; results may lack levels. */
export function summarise(results: readonly Result[]): SummaryRow[] {
  const methods = [...new Set(results.map(({ method }) => method))];
  const ours = results.filter(({ method }) => method === 'ours');
  const shares = [...new Set(results.flatMap(({ levels }) => levels.map(({ reachable }) => reachable)))];
  return shares
    .toSorted((a, b) => b - a)
    .map((reachable) => {
      const cells = methods.map((method) => {
        const own = results.filter((each) => each.method === method);
        const measured = own.flatMap(({ seed, levels }) => {
          const level = at(levels, reachable);
          return level === undefined ? [] : [{ ...level, seed }];
        });
        return [method, cellOf(measured)] as const;
      });
      const sized = [...ours, ...results].flatMap(({ levels }) => at(levels, reachable) ?? [])[0];
      const { flops = Number.NaN, params = Number.NaN } = sized ?? {};
      return { reachable, flops, params, cells: Object.fromEntries(cells) };
    });
}

const at = (levels: Result['levels'], reachable: number) =>
  levels.find((level) => level.reachable === reachable);

function cellOf(levels: readonly (Result['levels'][number] & Pick<Result, 'seed'>)[]): Cell {
  return {
    ...spreadOf(levels.map(({ value }) => value)),
    halfInterval: average(levels.map(({ low, high }) => (high - low) / 2)),
    seeds: levels.length,
    values: Object.fromEntries(levels.map(({ seed, value }) => [seed, value])),
  };
}

/** Both over the seeds that both have, where there are any: seeds differ by more than methods do. */
export function onSameSeeds(a: Cell, b: Cell): [Cell, Cell] {
  const common = Object.keys(a.values).filter((seed) => seed in b.values);
  if (common.length === 0) return [a, b];
  const only = (cell: Cell): Cell => {
    const values = Object.fromEntries(common.map((seed) => [seed, cell.values[Number(seed)] as number]));
    const { mean, deviation } = spreadOf(Object.values(values));
    return { ...cell, mean, deviation, seeds: common.length, values };
  };
  return [only(a), only(b)];
}

function spreadOf(values: readonly number[]): Pick<Cell, 'mean' | 'deviation'> {
  const mean = average(values);
  const spread = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: values.length < 2 ? 0 : Math.sqrt(spread / (values.length - 1)) };
}

/** How many seeds stand behind a cell: of those that have the most, and of those that have the fewest. */
export function seedsOf(rows: readonly SummaryRow[]): { readonly most: number; readonly fewest: number } {
  const counts = rows.flatMap(({ cells }) => Object.values(cells).map(({ seeds }) => seeds));
  const measured = counts.filter((seeds) => seeds > 0);
  return { most: Math.max(0, ...measured), fewest: Math.min(...measured) };
}

/** Header and rows as people read them; behind a mean of fewer seeds than others are of stands how many. */
export function tableOf(
  rows: readonly SummaryRow[],
  labels: Readonly<Record<string, string>>,
  metric: Pick<Metric, 'digits'>,
): { header: string[]; body: string[][] } {
  const names = Object.keys(labels).filter((name) => rows.some(({ cells }) => (cells[name]?.seeds ?? 0) > 0));
  const { most } = seedsOf(rows);
  return {
    header: ['reachable %', 'FLOPs %', 'params %', ...names.map((name) => labels[name] as string)],
    body: rows.map(({ reachable, flops, params, cells }) => [
      percent(reachable),
      percent(flops),
      percent(params),
      ...names.map((name) => {
        const cell = cells[name];
        if (cell === undefined || cell.seeds === 0) return '-';
        if (reachable === 1) return cell.mean.toFixed(metric.digits);
        const spread = cell.seeds > 1 ? ` ±${cell.deviation.toFixed(metric.digits)}` : '';
        const fewer = cell.seeds < most ? ` (${cell.seeds})` : '';
        return `${cell.mean.toFixed(metric.digits)}${spread}${fewer}`;
      }),
    ]),
  };
}

export function markdown(header: readonly string[], body: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...body.map(line)].join('\n');
}

const percent = (share: number) => (100 * share).toFixed(1).replace(/\.0$/, '');
const average = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);
