/** The page's tables, row by row: all that its charts show is in one of them. Pure. */

import { percent, short } from '../../../schema/page/numbers.ts';
import type { Table } from '../../../schema/page/table.ts';
import type { PageContent } from '../page-content.ts';
import { batchesOf, mainMetric, qualityOf, timeOf } from './measured.ts';

export function adviceTable({ advice }: PageContent): Table {
  return {
    header: ['at most', 'level', 'FLOPs', 'params', 'loss', 'at worst', 'faster'],
    rows: advice.map((each) => [
      percent(each.tolerance),
      String(each.level),
      percent(each.relativeFlops, 0),
      percent(each.relativeParams, 0),
      percent(each.loss, 2),
      percent(each.worstLoss, 2),
      each.speedup === undefined ? '-' : `${each.speedup.toFixed(1)}x`,
    ]),
  };
}

export function levelsTable(content: PageContent): Table {
  const { metrics, levels } = content;
  const batches = batchesOf(content);
  return {
    header: [
      'level',
      'FLOPs',
      'params',
      'MiB',
      ...metrics.flatMap((metric) => [metric, '95 %']),
      ...batches.map((batch) => `p50 ms, batch ${batch}`),
    ],
    rows: levels.map((level) => [
      String(level.level),
      percent(level.relativeFlops),
      percent(level.relativeParams),
      (level.bytes / 2 ** 20).toFixed(2),
      ...metrics.flatMap((metric) => {
        const { value, low, high } = qualityOf(level, metric);
        return [value.toFixed(4), `${low.toFixed(4)} to ${high.toFixed(4)}`];
      }),
      ...batches.map((batch) => timeOf(level, batch)?.toFixed(2) ?? '-'),
    ]),
  };
}

/** Units that each pair keeps at each level; a pair's name and its units come first. */
export function widthsTable({ pairs, levels }: PageContent): Table {
  return {
    header: ['pair', 'of', ...levels.map(({ level }) => String(level))],
    rows: pairs.map(({ name, units }, p) => [
      name,
      String(units),
      ...levels.map(({ widths }) => String(widths[p])),
    ]),
  };
}

/** What is drawn of other ways of pruning, for those who do not see charts. */
export function waysTable({ path, metrics }: PageContent): Table {
  return {
    header: ['way', 'metric', 'FLOPs', 'quality', '95 %'],
    rows: (path?.baselines ?? []).flatMap(({ name, metric = mainMetric({ metrics }), points }) =>
      points.map(({ relativeFlops, value, low, high }) => [
        name,
        metric,
        percent(relativeFlops),
        short(value),
        low === undefined || high === undefined ? '-' : `${short(low)} to ${short(high)}`,
      ]),
    ),
  };
}

export function settingsTable({ run }: PageContent): Table {
  return {
    header: ['setting', 'value'],
    rows: Object.entries(run).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(' to ') : String(value),
    ]),
  };
}

/** Undefined where the run kept no cost. */
export function costTable({ path }: PageContent): Table | undefined {
  if (path === undefined) return undefined;
  const total = (field: 'seconds' | 'epochs') => path.cost.reduce((sum, part) => sum + part[field], 0);
  const all = { stage: 'all', seconds: total('seconds'), epochs: total('epochs') };
  return {
    header: ['stage', 'seconds', 'epochs'],
    rows: [...path.cost, all].map(({ stage, seconds, epochs }) => [
      stage,
      seconds.toFixed(1),
      epochs.toFixed(2),
    ]),
  };
}
