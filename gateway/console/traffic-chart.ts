/** Requests by level over time, and the share of them in time. Pure. */
import type { BarSeriesOption, LineSeriesOption } from 'echarts/charts';
import { axisOf, type ChartOption, frameOf, sideAxisOf, tooltipOf } from '../../schema/page/chart-frame.ts';
import { percent } from '../../schema/page/numbers.ts';
import { OTHER_COLOURS, type Palette } from '../../schema/page/palette.ts';
import { requestsOf, type Slot } from './traffic.ts';

const IN_TIME = 'in time';
const [REFUSED_COLOUR, IN_TIME_COLOUR] = OTHER_COLOURS;

/** @param slots of one model, the earliest first */
export function trafficChart(slots: readonly Slot[], palette: Palette): ChartOption {
  const levels = [...new Set(slots.flatMap((slot) => [...slot.levels.keys()]))].toSorted((a, b) => a - b);
  const bar = (
    name: string,
    count: (slot: Slot) => number,
    style: { readonly color: string; readonly opacity?: number },
  ) =>
    ({
      name,
      type: 'bar',
      stack: 'requests',
      barCategoryGap: '15%',
      itemStyle: { ...style },
      data: slots.map((slot, place) => [place, count(slot)]),
    }) satisfies BarSeriesOption;
  const inTime: LineSeriesOption = {
    name: IN_TIME,
    type: 'line',
    yAxisIndex: 1,
    symbolSize: 4,
    color: IN_TIME_COLOUR,
    // Of nobody there is no share: the line has a gap.
    data: slots.map((slot, place) => {
      const requests = requestsOf(slot);
      return [place, requests === 0 ? '-' : (100 * slot.inTime) / requests];
    }),
  };
  return {
    ...frameOf(palette),
    grid: { left: 56, right: 48, top: 36, bottom: 30 },
    tooltip: tooltipOf(palette, ({ series, x, y }) => {
      const slot = slots[x];
      const all = slot === undefined ? 0 : requestsOf(slot);
      const what =
        series === IN_TIME
          ? `${y.toFixed(1)} % ${IN_TIME}`
          : `${series}: ${Math.round(y)} of ${Math.round(all)}`;
      return [
        timeText(slot?.startMs ?? 0),
        series === IN_TIME ? what : `${what} (${percent(all === 0 ? 0 : y / all)})`,
      ];
    }),
    xAxis: {
      ...axisOf(palette),
      type: 'category',
      data: slots.map(({ startMs }) => timeText(startMs)),
    },
    yAxis: [
      sideAxisOf(palette, 'requests'),
      {
        ...sideAxisOf(palette, `% ${IN_TIME}`),
        nameTextStyle: { align: 'right', color: palette.quiet },
        min: 0,
        max: 100,
        splitLine: { show: false },
      },
    ],
    series: [
      ...levels.map((level) =>
        bar(`level ${level}`, (slot) => slot.levels.get(level) ?? 0, {
          color: palette.accent,
          opacity: strengthOf(levels.indexOf(level), levels.length),
        }),
      ),
      bar('refused', ({ refused }) => refused, { color: REFUSED_COLOUR }),
      inTime,
    ],
  };
}

/** The denser, the stronger. */
export function strengthOf(place: number, places: number): number {
  return places <= 1 ? 1 : 0.25 + (0.75 * place) / (places - 1);
}

function timeText(ms: number): string {
  return new Date(ms).toLocaleTimeString('en-GB');
}
