/** Attainment and delivered quality by way of routing, as an SVG that stands in documents of either colour scheme. */
import { writeFile } from 'node:fs/promises';
import { init } from 'echarts';
import type { Outcome } from './run.ts';

export async function writeRoutingChart(
  path: string,
  outcomes: Readonly<Record<string, Outcome>>,
): Promise<void> {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: 860, height: 380 });
  const bars = (name: string, value: (outcome: Outcome) => number) => ({
    name,
    type: 'bar' as const,
    label: { show: true, position: 'top' as const, fontSize: 11 },
    data: Object.values(outcomes).map((outcome) => Number((100 * value(outcome)).toFixed(1))),
  });
  chart.setOption({
    backgroundColor: '#ffffff',
    animation: false,
    color: ['#5b8def', '#d98c00'],
    // Without a browser the width of a text is estimated, and falls short.
    legend: { bottom: 4, itemGap: 56 },
    grid: { left: 56, right: 24, top: 32, bottom: 64 },
    xAxis: { type: 'category', data: Object.keys(outcomes) },
    yAxis: { type: 'value', name: '%', min: 0, max: 100 },
    series: [
      bars('answered within the budget', ({ attainment }) => attainment),
      bars('quality, 0 for what was late or refused', ({ deliveredQuality }) => deliveredQuality),
    ],
  });
  await writeFile(path, `${chart.renderToSVGString()}\n`);
  chart.dispose();
}
