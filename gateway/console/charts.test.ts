/** What the console's charts are told to draw. */
import type { BarSeriesOption, LineSeriesOption } from 'echarts/charts';
import { expect, test } from 'vitest';
import type { ChartOption } from '../../schema/page/chart-frame.ts';
import { paletteOf } from '../../schema/page/palette.ts';
import { decision, digits } from './console.fixture.ts';
import { frontierChart } from './frontier-chart.ts';
import { trafficOf } from './traffic.ts';
import { kindsOf, strengthOf, trafficChart } from './traffic-chart.ts';

const palette = paletteOf((name) => name);
const seriesOf = ({ series = [] }: ChartOption) => [series].flat() as (BarSeriesOption | LineSeriesOption)[];
const dataOf = (option: ChartOption, name: string) =>
  seriesOf(option).find((each) => each.name === name)?.data;
const told = (option: ChartOption, seriesName: string, dataIndex: number, value: number[]) =>
  (option.tooltip as { formatter: (params: unknown) => string }).formatter({ seriesName, dataIndex, value });

test('requests are stacked by level, those refused upon them, and the share in time beside them', () => {
  const decisions = [
    decision(0, 3, { weight: 30 }),
    decision(99, 1, { weight: 10, totalMs: 99 }),
    decision(99, null, { weight: 30 }),
  ];
  const option = trafficChart(trafficOf(decisions, 2).get('digits') ?? [], palette);
  expect(seriesOf(option).map(({ name }) => name)).toEqual([
    'level 1',
    'level 3',
    'refused',
    'failed',
    'in time',
  ]);
  expect(dataOf(option, 'level 3')).toEqual([
    [0, 30],
    [1, 0],
  ]);
  expect(dataOf(option, 'in time')).toEqual([
    [0, 100],
    [1, 0],
  ]);
  expect(told(option, 'refused', 1, [1, 30])).toMatch(/<br>refused: 30 of 40 \(75\.0 %\)$/);
  expect(told(option, 'in time', 0, [0, 100])).toMatch(/<br>100\.0 % in time$/);
});

test('times have days where they are of several', () => {
  const noon = new Date('2026-11-30T12:00:00').getTime();
  const marks = (spanMs: number) => {
    const { digits: slots = [] } = Object.fromEntries(
      trafficOf([decision(noon, 0), decision(noon + spanMs, 0)], 2),
    );
    return (trafficChart(slots, palette).xAxis as { data: string[] }).data[0];
  };
  expect(marks(3_600_000)).toBe('12:00:00');
  expect(marks(3 * 86_400_000)).toBe('11-30 12:00');
});

test('a legend names what the chart is made of', () => {
  const slots = trafficOf([decision(0, 3), decision(1, 1)], 2).get('digits') ?? [];
  expect(kindsOf(slots, palette).map(({ name }) => name)).toEqual([
    'level 1',
    'level 3',
    'refused',
    'failed',
    'in time',
  ]);
  expect(kindsOf([], palette)).toEqual([]);
});

test('spans without a request have no share in time', () => {
  const option = trafficChart(trafficOf([decision(0, 0), decision(99, 0)], 3).get('digits') ?? [], palette);
  expect(dataOf(option, 'in time')).toEqual([
    [0, 100],
    [1, '-'],
    [2, 100],
  ]);
});

test('the denser a level, the stronger its colour', () => {
  expect([0, 1, 2].map((place) => strengthOf(place, 3))).toEqual([0.25, 0.625, 1]);
  expect(strengthOf(0, 1)).toBe(1);
});

test('levels lie where they take and are worth what they do, with the frontier and its interval', () => {
  const option = frontierChart(digits, palette);
  expect(dataOf(option, 'levels')).toEqual([
    [1, 0.9],
    [3, 0.95],
    [4, 0.94],
  ]);
  expect(dataOf(option, 'frontier')).toEqual([
    [1, 0.9],
    [3, 0.95],
  ]);
  expect(told(option, 'levels', 2, [4, 0.94])).toBe(
    'level 2: 75.0 % of the FLOPs<br>0.94 (0.93 to 0.95) in 4 ms<br>0.0015 USD',
  );
  expect(told(option, 'frontier', 1, [3, 0.95])).toContain('level 1:');
});
