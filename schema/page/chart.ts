/** Charts in a page. */
import { BarChart, LineChart } from 'echarts/charts';
import { GridComponent, TooltipComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { ChartOption } from './chart-frame.ts';

use([BarChart, LineChart, GridComponent, TooltipComponent, SVGRenderer]);

/** What draws into an element. */
export interface Chart {
  /** What was drawn before is forgotten. */
  draw(option: ChartOption): void;
  resize(): void;
}

export type ChartIn = (container: HTMLElement) => Chart;

export const chartIn: ChartIn = (container) => {
  const chart = init(container, null, { renderer: 'svg' });
  return { draw: (option) => chart.setOption(option, true), resize: () => chart.resize() };
};
