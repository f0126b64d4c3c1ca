/** What the chart library is told to draw. */
import type { LineSeriesOption } from 'echarts/charts';
import { describe, expect, test } from 'vitest';
import type { Manifest } from '../../../schema/manifest.ts';
import type { ChartOption } from '../../../schema/page/chart-frame.ts';
import { decoderManifest, keptOfRun } from '../../../test/support/report-content.ts';
import { type PageContent, pageContent } from '../page-content.ts';
import { reportPaletteOf } from './palette.ts';
import { pathChart } from './path-chart.ts';
import { type Cost, qualityChart } from './quality-chart.ts';

const content = pageContent(decoderManifest, keptOfRun);
const palette = reportPaletteOf((name) => `colour of ${name}`);
const chart = (cost: Cost, metric: string, batch = 1, of: PageContent = content) =>
  qualityChart(of, cost, { metric, batch }, palette);
const seriesOf = ({ series = [] }: ChartOption) => [series].flat() as LineSeriesOption[];
const named = (option: ChartOption, name: string) => seriesOf(option).find((each) => each.name === name);
const pointsOf = (series: ReturnType<typeof named>) => series?.data as number[][];

describe('quality', () => {
  test('has ends that can be read, and says where lower is better', () => {
    expect(chart('flops', 'perplexity').yAxis).toMatchObject({
      name: 'perplexity, lower is better',
      min: 4,
      max: 10,
    });
    const { yAxis } = chart('flops', 'next-token-accuracy') as { yAxis: { min: number; max: number } };
    expect(yAxis).toMatchObject({ name: 'next-token-accuracy' });
    for (const end of [yAxis.min, yAxis.max]) expect(String(end).length).toBeLessThan(6);
  });

  test('is drawn of ways by the metric that is shown, and of those that have a place on the axis', () => {
    const names = (option: ChartOption) => seriesOf(option).flatMap(({ name }) => name ?? []);
    expect(names(chart('flops', 'perplexity'))).toEqual(['path', 'Fisher']);
    expect(names(chart('flops', 'next-token-accuracy'))).toEqual(['path', 'random']);
    expect(names(chart('params', 'next-token-accuracy')), 'its parameters are not known').toEqual(['path']);
  });

  test('is drawn against the times of a batch size, from the first one on', () => {
    const times = (batch: number) =>
      pointsOf(named(chart('latency', 'perplexity', batch), 'path')).map(([ms]) => ms);
    expect([times(1), times(8)]).toEqual([
      [1, 2, 3],
      [8, 16, 24],
    ]);
    expect(chart('latency', 'perplexity', 8).xAxis).toMatchObject({
      name: 'p50 ms at batch 8',
      scale: true,
      axisLabel: { showMinLabel: false },
    });
  });

  test('of a way between two levels is drawn at a time between theirs, and of one outside of them nowhere', () => {
    const at = (relativeFlops: number) => {
      const way = { name: 'way', points: [{ relativeFlops, value: 0.5 }] };
      const of = pageContent(decoderManifest, { ...keptOfRun, baselines: [way] });
      return named(chart('latency', 'next-token-accuracy', 1, of), 'way')?.data;
    };
    expect(at(0.75)).toEqual([[2.5, 0.5]]);
    expect(at(0.3)).toEqual([[1, 0.5]]);
    expect(at(0.2)).toBeUndefined();
  });

  test('has a band from the lower to the upper bound', () => {
    const [low, height] = seriesOf(chart('flops', 'perplexity')).map(pointsOf);
    expect(low?.map(([x]) => x)).toEqual([30, 50, 100]);
    expect(low?.[1]?.[1]).toBeCloseTo(5.09, 9);
    expect(height?.[1]?.[1]).toBeCloseTo(0.22, 9);
  });

  test('is told at a point with its interval, and names stay text', () => {
    const [random, fisher] = keptOfRun.baselines;
    const baselines = [random!, { ...fisher!, name: '<b>Fisher' }];
    const option = chart('flops', 'perplexity', 1, pageContent(decoderManifest, { ...keptOfRun, baselines }));
    const { formatter } = option.tooltip as { formatter: (params: unknown) => string };
    const told = (seriesName: string, dataIndex: number, value: number[]) =>
      formatter({ seriesName, dataIndex, value });
    expect(told('path', 1, [50, 5.2])).toBe('level 1: 50.0 % of the FLOPs<br>5.2 (5.09 to 5.31)');
    expect(told('<b>Fisher', 0, [30, 17.1])).toBe('&lt;b>Fisher<br>17.1 (17 to 17.2) at 30');
    expect(told('<b>Fisher', 1, [100, 4.72])).toBe('&lt;b>Fisher<br>4.72 at 100');
  });
});

describe('the solution path', () => {
  test('rises with each unit that enters, and stays until the last step', () => {
    const [line] = seriesOf(pathChart(content, palette));
    const third = 100 / 6;
    expect(line).toMatchObject({ name: 'mlp', step: 'end' });
    expect(line?.data).toEqual([
      [0, 0],
      [10.5, third],
      [20, 2 * third],
      [100, 2 * third],
    ]);
  });

  test('tells kinds of pairs apart without colour, and layers of one by strength', () => {
    const [pair] = decoderManifest.pairs;
    if (pair === undefined) throw new Error('no pair');
    const kinds = ['query-key', 'value-projection', 'sequential', 'gated', 'gated'] as const;
    const pairs = kinds.map((kind, i) => ({ ...pair, name: `${kind} ${i}`, kind }));
    const levels = decoderManifest.levels.map((each) => ({ ...each, widths: kinds.map(() => 1) }));
    const manifest: Manifest = { ...decoderManifest, pairs, levels };
    const of = pageContent(manifest, { ...keptOfRun, entries: kinds.map(() => [10]) });
    const lines = seriesOf(pathChart(of, palette)).map(({ lineStyle }) => lineStyle);
    expect(new Set(lines.map((style) => JSON.stringify(style?.type))).size).toBe(4);
    expect(Number(lines[4]?.opacity)).toBeLessThan(Number(lines[3]?.opacity));
  });

  test('is empty where the run kept none', () => {
    expect(seriesOf(pathChart(pageContent(decoderManifest, undefined), palette))).toEqual([]);
  });
});
