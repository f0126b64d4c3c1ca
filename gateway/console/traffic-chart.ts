/** Requests by level over time, and the share of them in time. Pure. */
import type { BarSeriesOption, LineSeriesOption } from 'echarts/charts';
import { axisOf, type ChartOption, frameOf, sideAxisOf, tooltipOf } from '../../schema/page/chart-frame.ts';
import { dateText, percent } from '../../schema/page/numbers.ts';
import { OTHER_COLOURS, type Palette } from '../../schema/page/palette.ts';
import { requestsOf, type Slot } from './traffic.ts';

const IN_TIME = 'in time';
const [REFUSED_COLOUR, IN_TIME_COLOUR] = OTHER_COLOURS;
const DAY_MS = 86_400_000;

/** What becomes of a request, as the chart shows it. */
export interface Kind {
  readonly name: string;
  readonly colour: string;
  readonly opacity: number;
  /** As a legend shows it. */
  readonly mark: string;
}

interface Stacked extends Kind {
  readonly count: (slot: Slot) => number;
}

/** The legend: what is stacked, from below, and the line. @param slots of one model */
export function kindsOf(slots: readonly Slot[], palette: Palette): Kind[] {
  if (slots.length === 0) return [];
  const line: Kind = { name: IN_TIME, colour: IN_TIME_COLOUR, opacity: 1, mark: '●' };
  return [...stackedOf(slots, palette), line];
}

function stackedOf(slots: readonly Slot[], { accent, bad }: Palette): Stacked[] {
  const levels = [...new Set(slots.flatMap((slot) => [...slot.levels.keys()]))].toSorted((a, b) => a - b);
  return [
    ...levels.map((level, place) => ({
      name: `level ${level}`,
      count: (slot: Slot) => slot.levels.get(level) ?? 0,
      colour: accent,
      opacity: strengthOf(place, levels.length),
      mark: '■',
    })),
    {
      name: 'refused',
      count: ({ refused }: Slot) => refused,
      colour: REFUSED_COLOUR,
      opacity: 1,
      mark: '■',
    },
    { name: 'failed', count: ({ failed }: Slot) => failed, colour: bad, opacity: 1, mark: '■' },
  ];
}

/** @param slots of one model, the earliest first */
export function trafficChart(slots: readonly Slot[], palette: Palette): ChartOption {
  const bars = stackedOf(slots, palette).map(
    ({ name, count, colour, opacity }): BarSeriesOption => ({
      name,
      type: 'bar',
      stack: 'requests',
      barCategoryGap: '15%',
      itemStyle: { color: colour, opacity },
      data: slots.map((slot, place) => [place, count(slot)]),
    }),
  );
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
  const long = (slots.at(-1)?.endMs ?? 0) - (slots[0]?.startMs ?? 0) > DAY_MS;
  return {
    ...frameOf(palette),
    grid: { left: 56, right: 48, top: 36, bottom: 30 },
    tooltip: tooltipOf(palette, ({ series, x, y }) => {
      const slot = slots[x];
      if (slot === undefined) return [];
      const all = requestsOf(slot);
      const what =
        series === IN_TIME
          ? `${y.toFixed(1)} % ${IN_TIME}`
          : `${series}: ${Math.round(y)} of ${Math.round(all)} (${percent(all === 0 ? 0 : y / all)})`;
      return [`${dateText(slot.startMs)} to ${dateText(slot.endMs)}`, what];
    }),
    xAxis: {
      ...axisOf(palette),
      type: 'category',
      data: slots.map(({ startMs }) => dateText(startMs).slice(long ? 5 : 11, long ? 16 : undefined)),
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
    series: [...bars, inTime],
  };
}

/** The denser, the stronger. */
export function strengthOf(place: number, places: number): number {
  return places <= 1 ? 1 : 0.25 + (0.75 * place) / (places - 1);
}
