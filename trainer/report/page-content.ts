/** What the page is told: all that it draws and lists, of the manifest and of what the run kept. Pure. */
import type { Manifest, ManifestLevel } from '../../schema/manifest.ts';
import { type Advice, adviceText, guideline, lossText } from './guideline.ts';
import { qualityRange, type Range } from './quality-range.ts';
import type { ReportData } from './report-data.ts';

export type ShownPair = Pick<Manifest['pairs'][number], 'name' | 'kind' | 'units'>;

/** A level without what its weights are read by. */
export type ShownLevel = Omit<ManifestLevel, 'extents' | 'chunk' | 'own'>;

export interface PageContent {
  readonly createdAt: string;
  readonly task: string;
  readonly pairs: readonly ShownPair[];
  /** Sparsest first. */
  readonly levels: readonly ShownLevel[];
  readonly advice: readonly (Advice & { readonly text: string })[];
  /** What the advice's losses count in. */
  readonly lossMeans: string;
  /** The main one first. */
  readonly metrics: readonly string[];
  /** Ends of the charts of each metric. */
  readonly ranges: Readonly<Record<string, Range>>;
  /** Settings of the run. */
  readonly run: Readonly<Record<string, unknown>>;
  /** Undefined for artifacts whose run kept nothing for a report. */
  readonly path: ReportData | undefined;
}

/** @param path what the run kept for the report; undefined where it kept nothing */
export function pageContent(manifest: Manifest, path: ReportData | undefined): PageContent {
  const { createdAt, task, pairs, levels, search, seed, dataSha256, inputs } = manifest;
  const { quality } = levels.at(-1) as ManifestLevel;
  const metrics = metricsOf(manifest);
  return {
    createdAt,
    task,
    pairs: pairs.map(({ name, kind, units }) => ({ name, kind, units })),
    levels: levels.map(({ extents: _, chunk: __, own: ___, ...shown }) => shown),
    advice: guideline(manifest).map((each) => ({ ...each, text: adviceText(each) })),
    lossMeans: lossText({ quality }),
    metrics,
    ranges: Object.fromEntries(metrics.map((metric) => [metric, rangeOf(metric, levels, path)])),
    run: {
      ...search,
      seed,
      data: dataSha256.slice(0, 12),
      inputs: inputs.map(({ name }) => name).join(', '),
    },
    path,
  };
}

/** All that levels are measured by, the main one first. */
export function metricsOf({ levels }: Pick<Manifest, 'levels'>): string[] {
  const { quality } = levels.at(-1) as ManifestLevel;
  return [quality.metric, ...Object.keys(quality.details ?? {})];
}

/** Of all charts of a metric: of the levels' intervals, and of other ways of pruning that were measured by it. */
function rangeOf(metric: string, levels: readonly ManifestLevel[], path: ReportData | undefined): Range {
  const own = levels.flatMap(({ quality }) => {
    const its = metric === quality.metric ? quality : quality.details?.[metric];
    return its === undefined ? [] : [its.low, its.high];
  });
  const main = levels.at(-1)?.quality.metric;
  const others = (path?.baselines ?? []).filter((each) => (each.metric ?? main) === metric);
  return qualityRange(
    own,
    others.flatMap(({ points }) => points.map(({ value }) => value)),
  );
}
