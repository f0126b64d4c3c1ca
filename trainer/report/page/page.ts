/** Fills the page and draws its charts, again whenever what is shown is chosen anew. */

import type { ChartIn } from '../../../schema/page/chart.ts';
import type { ChartOption } from '../../../schema/page/chart-frame.ts';
import { byId, element, fillTable, named, offer, onColours, styleOf } from '../../../schema/page/elements.ts';
import type { PageContent } from '../page-content.ts';
import { batchesOf, lookOf, mainMetric, waysBy } from './measured.ts';
import { type ReportPalette, reportPaletteOf } from './palette.ts';
import { kindsOf, pathChart } from './path-chart.ts';
import { type Choice, type Cost, qualityChart } from './quality-chart.ts';
import { strokeOf } from './strokes.ts';
import { adviceTable, costTable, levelsTable, settingsTable, waysTable, widthsTable } from './tables.ts';

type Drawing = (choice: Choice, palette: ReportPalette) => ChartOption;

export function showPage(content: PageContent, chartIn: ChartIn): void {
  fillText(content);
  fillTables(content);
  nameKinds(content);
  // When units entered is kept beside the artifact, not in it.
  byId('path-section').hidden = content.path === undefined;
  const quality =
    (cost: Cost): Drawing =>
    (choice, palette) =>
      qualityChart(content, cost, choice, palette);
  const drawings: Readonly<Record<string, Drawing>> = {
    'by-flops': quality('flops'),
    'by-params': quality('params'),
    'by-latency': quality('latency'),
    path: (_, palette) => pathChart(content, palette),
  };
  const [metric, batch] = [byId('metric') as HTMLSelectElement, byId('batch') as HTMLSelectElement];
  offer(metric, content.metrics);
  offer(batch, batchesOf(content).map(String));
  // What other ways of pruning were measured by can be compared, and is shown first.
  metric.value = content.metrics.find((each) => waysBy(content, each).length > 0) ?? mainMetric(content);
  const charts = Object.entries(drawings).map(([id, option]) => ({ chart: chartIn(byId(id)), option }));
  const draw = () => {
    const choice = { metric: metric.value, batch: Number(batch.value) };
    const palette = reportPaletteOf(styleOf());
    for (const { chart, option } of charts) chart.draw(option(choice, palette));
    nameWays(content, choice.metric, palette);
  };
  metric.addEventListener('change', draw);
  batch.addEventListener('change', draw);
  const resize = () => {
    for (const { chart } of charts) chart.resize();
  };
  onColours(() => {
    draw();
    resize();
  });
  new ResizeObserver(resize).observe(document.body);
  draw();
}

function fillText({ task, levels, pairs, createdAt, advice, lossMeans, path }: PageContent): void {
  const made = createdAt.slice(0, 16).replace('T', ' ');
  byId('subtitle').textContent =
    `${task}, ${counted(levels, 'level')}, ${counted(pairs, 'pair')}; made ${made} UTC`;
  const [one] = advice.filter(({ tolerance }) => tolerance === 0.01);
  if (one !== undefined)
    byId('advice-note').textContent =
      `${one.text.charAt(0).toUpperCase()}${one.text.slice(1)}. ${lossMeans} At worst is the unfavourable end of the level's 95 % interval. Times are of the machine that built the path.`;
  for (const note of path?.notes ?? []) {
    const item = element('li');
    item.append(...withFlags(note));
    byId('notes').append(item);
  }
  if ((path?.baselines ?? []).length > 0)
    byId('baselines-note').textContent =
      '; other ways of pruning are dashed, and take as long as levels of the path with as many FLOPs';
}

function fillTables(content: PageContent): void {
  fillTable('advice', adviceTable(content));
  fillTable('levels', levelsTable(content));
  fillTable('run', settingsTable(content));
  const cost = costTable(content);
  if (cost !== undefined) fillTable('cost', cost);
  const ways = waysTable(content);
  byId('baselines-details').hidden = ways.rows.length === 0;
  fillTable('baselines', ways);
  const rows = fillTable('widths', widthsTable(content));
  for (const [p, row] of rows.entries()) colourWidths(row, content, p);
}

/** The stronger, the larger the share of its units that a level keeps. */
function colourWidths(row: HTMLTableRowElement, { pairs, levels }: PageContent, p: number): void {
  const [, , ...cells] = row.cells;
  const { units } = pairs[p] ?? { units: 1 };
  for (const [i, cell] of cells.entries()) {
    const share = ((levels[i]?.widths[p] ?? 0) / units).toFixed(3);
    cell.style.background = `rgba(var(--accent-rgb), calc(0.04 + var(--heat) * ${share}))`;
  }
}

/** One legend for the three charts of quality. */
function nameWays(content: PageContent, metric: string, { accent }: ReportPalette): void {
  const ways = waysBy(content, metric).map((way) => {
    const { mark, colour } = lookOf(way, content);
    return named(way.name, { text: mark, colour }).entry;
  });
  const own = named('this path', { text: '\u25CB', colour: accent }).entry;
  byId('ways').replaceChildren(...(ways.length > 0 ? [own, ...ways] : []));
}

function nameKinds({ pairs }: PageContent): void {
  const strokes = kindsOf(pairs).map((kind, place) => {
    const { entry, sign } = named(kind, {});
    sign.className = 'mark stroke';
    sign.style.background = strokeOf(place, `var(--${kind})`);
    return entry;
  });
  byId('kinds').append(...strokes, element('span', 'first layers strong, last layers faint'));
}

function counted(things: readonly unknown[], name: string): string {
  return `${things.length} ${name}${things.length === 1 ? '' : 's'}`;
}

/** The text in parts, its flags in elements of their own: a line would break behind their hyphens. */
function withFlags(text: string): (string | HTMLElement)[] {
  return text.split(/(--[a-z][a-z-]*)/).map((part, i) => (i % 2 === 1 ? element('code', part) : part));
}
