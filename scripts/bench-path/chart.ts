/** Quality against FLOPs, one line a method with its spread over seeds, as an SVG that stands in documents of either colour scheme. */
import { writeFile } from 'node:fs/promises';
import { init } from 'echarts';
import { methods } from './methods.ts';
import type { Metric } from './models.ts';
import type { SummaryRow } from './summary.ts';

/** As many as there are methods, in their order; distinct in hue and lightness, so that they are told apart in grey too. */
const COLOURS = [
  '#b8bec6',
  '#d98c00',
  '#7b5ea7',
  '#2a9d8f',
  '#5b8def',
  '#8c6d46',
  '#e08fb0',
  '#ef7d57',
  '#c1121f',
  '#5c0011',
  '#3a5a40',
  '#1b263b',
  '#00a6d6',
];

/** Ticks of an axis of logarithms, which has few of its own: powers of ten, of which a plot seldom holds two. */
const ROUND = [1, 10, 100, 1000].flatMap((power) =>
  [1, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8].map((factor) => factor * power),
);

/** A way has its colour in every plot, whichever others were measured. */
const colourOf = (name: string) => COLOURS[Object.keys(methods).indexOf(name) % COLOURS.length] ?? '#000000';

export async function writePathChart(
  path: string,
  title: string,
  rows: readonly SummaryRow[],
  labels: Readonly<Record<string, string>>,
  metric: Metric,
): Promise<void> {
  const names = Object.keys(labels).filter((name) => rows.some(({ cells }) => (cells[name]?.seeds ?? 0) > 0));
  const lower = metric.better === 'lower';
  const values = rows.flatMap(({ cells }) =>
    names.flatMap((name) => (cells[name]?.seeds ? [cells[name].mean] : [])),
  );
  const dense =
    names.flatMap((name) => (rows[0]?.cells[name]?.seeds ? [rows[0].cells[name].mean] : []))[0] ?? 0;
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: 900, height: 520 });
  chart.setOption({
    backgroundColor: '#ffffff',
    animation: false,
    title: { text: title, left: 'center', textStyle: { fontSize: 15, fontWeight: 'normal' } },
    legend: { bottom: 4, itemGap: 28, data: names.map((name) => labels[name] as string) },
    grid: { left: 72, right: 24, top: 44, bottom: 112 },
    xAxis: {
      type: 'value',
      name: 'reachable FLOPs kept, %',
      nameLocation: 'middle',
      nameGap: 28,
      min: 0,
      max: 100,
    },
    yAxis: {
      type: lower ? 'log' : 'value',
      name: metric.name,
      nameLocation: 'middle',
      nameGap: 44,
      // Methods at chance would press everything else to one line.
      ...(lower ? { min: 0.95 * dense, max: Math.min(8 * dense, Math.max(...values)) } : { scale: true }),
      ...(lower ? { axisTick: { customValues: ROUND } } : {}),
      axisLabel: {
        ...(lower ? { customValues: ROUND } : {}),
        formatter: (value: number) => String(Number(value.toPrecision(3))),
      },
    },
    series: [
      ...names.map((name) => ({
        name: labels[name] as string,
        type: 'line' as const,
        color: colourOf(name),
        symbolSize: 5,
        lineStyle: { width: name.startsWith('ours') ? 3 : 1.5 },
        data: rows.flatMap((row) =>
          row.cells[name]?.seeds ? [[100 * row.reachable, row.cells[name].mean]] : [],
        ),
      })),
      ...names.map((name) => band(rows, name, colourOf(name))),
    ],
  });
  await writeFile(path, `${chart.renderToSVGString()}\n`);
  chart.dispose();
}

/** A polygon from one deviation over seeds below the mean to one above it. */
function band(rows: readonly SummaryRow[], name: string, fill: string) {
  const cells = rows.flatMap(({ reachable, cells: all }) => {
    const cell = all[name];
    return cell === undefined || !(cell.deviation > 0) ? [] : [{ at: 100 * reachable, ...cell }];
  });
  const edge = [
    ...cells.map(({ at, mean, deviation }) => [at, mean + deviation]),
    ...cells.toReversed().map(({ at, mean, deviation }) => [at, mean - deviation]),
  ];
  return {
    type: 'custom' as const,
    silent: true,
    clip: true,
    data: edge.slice(0, 1),
    renderItem: (_: unknown, api: { coord(point: number[]): number[] }) => ({
      type: 'polygon' as const,
      shape: { points: edge.map((point) => api.coord(point) as [number, number]) },
      style: { fill, opacity: 0.18 },
    }),
  };
}
