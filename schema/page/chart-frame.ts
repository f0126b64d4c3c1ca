/** What all charts have alike. */
import type { BarSeriesOption, LineSeriesOption } from 'echarts/charts';
import type { GridComponentOption, TooltipComponentOption } from 'echarts/components';
import type { ComposeOption } from 'echarts/core';
import type { Palette } from './palette.ts';

export type ChartOption = ComposeOption<
  BarSeriesOption | LineSeriesOption | GridComponentOption | TooltipComponentOption
>;

export function frameOf({ ink }: Palette) {
  return {
    animation: false,
    backgroundColor: 'transparent',
    textStyle: { color: ink, fontFamily: 'inherit' },
    grid: { left: 56, right: 20, top: 36, bottom: 46 },
  };
}

export function axisOf({ quiet, line }: Palette) {
  return {
    type: 'value' as const,
    nameTextStyle: { color: quiet },
    axisLabel: { color: quiet, hideOverlap: true },
    axisLine: { lineStyle: { color: line } },
    splitLine: { lineStyle: { color: line, opacity: 0.6 } },
  };
}

/** An axis below the chart, with its name there. */
export function lowerAxisOf(palette: Palette, name: string) {
  return { ...axisOf(palette), name, nameLocation: 'middle' as const, nameGap: 26 };
}

/** An axis beside the chart, with its name above. */
export function sideAxisOf(palette: Palette, name: string) {
  return { ...axisOf(palette), name, nameTextStyle: { align: 'left' as const, color: palette.quiet } };
}

/** Between two bounds: a line at the lower one, and upon it an area as high as the upper one is above. @param points by x */
export function bandOf(
  { accent }: Palette,
  points: readonly { readonly x: number; readonly low: number; readonly high: number }[],
): LineSeriesOption[] {
  const half: LineSeriesOption = {
    type: 'line',
    stack: 'band',
    stackStrategy: 'all',
    symbol: 'none',
    silent: true,
    lineStyle: { opacity: 0 },
  };
  return [
    { ...half, data: points.map(({ x, low }) => [x, low]) },
    {
      ...half,
      data: points.map(({ x, low, high }) => [x, high - low]),
      areaStyle: { color: accent, opacity: 0.18 },
    },
  ];
}

/** What is shown at a point under the pointer. */
export interface PointedAt {
  readonly series: string;
  /** Of the point in its series. */
  readonly place: number;
  readonly x: number;
  readonly y: number;
}

/** @param text lines, of which names come from the artifact */
export function tooltipOf(
  { raised, line, ink }: Palette,
  text: (at: PointedAt) => readonly string[],
): TooltipComponentOption {
  return {
    trigger: 'item',
    backgroundColor: raised,
    borderColor: line,
    textStyle: { color: ink },
    confine: true,
    formatter: (params) => {
      const one = Array.isArray(params) ? params[0] : params;
      if (one === undefined || !Array.isArray(one.value)) return '';
      const [x, y] = one.value.map(Number);
      return text({
        series: one.seriesName ?? '',
        place: one.dataIndex,
        x: x ?? Number.NaN,
        y: y ?? Number.NaN,
      })
        .map(escaped)
        .join('<br>');
    },
  };
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
