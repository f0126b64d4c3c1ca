/** Quality against FLOPs, one line a method, as an SVG that stands in documents of either colour scheme. */
import { writeFile } from 'node:fs/promises';
import { init } from 'echarts';

export interface ChartRow {
  /** Share of the dense model's FLOPs. */
  readonly flops: number;
  readonly accuracy: Readonly<Record<string, number>>;
}

/** Distinct in hue and lightness, so that they are told apart in grey too. */
const COLOURS = ['#9aa0a6', '#d98c00', '#7b5ea7', '#2a9d8f', '#5b8def', '#d1495b'];

export async function writePathChart(path: string, title: string, rows: readonly ChartRow[]): Promise<void> {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: 860, height: 460 });
  chart.setOption({
    backgroundColor: '#ffffff',
    animation: false,
    color: COLOURS,
    title: { text: title, left: 'center', textStyle: { fontSize: 15, fontWeight: 'normal' } },
    legend: { bottom: 4, itemGap: 20 },
    grid: { left: 64, right: 24, top: 44, bottom: 84 },
    xAxis: {
      type: 'value',
      name: 'FLOPs, % of the dense model',
      nameLocation: 'middle',
      nameGap: 28,
      min: 20,
      max: 100,
    },
    yAxis: { type: 'value', name: 'accuracy, %', min: 0, max: 100 },
    series: Object.keys(rows[0]?.accuracy ?? {}).map((method) => ({
      name: method,
      type: 'line',
      symbolSize: 5,
      lineStyle: { width: method.startsWith('ours') ? 3 : 1.5 },
      data: rows.map((row) => [100 * row.flops, 100 * (row.accuracy[method] ?? Number.NaN)]),
    })),
  });
  await writeFile(path, `${chart.renderToSVGString()}\n`);
  chart.dispose();
}
