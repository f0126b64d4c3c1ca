/** The page's own script, run on as much of a browser as it asks for: what it hands to the chart library, and its tables. */
import { runInNewContext } from 'node:vm';
import { beforeAll, describe, expect, test } from 'vitest';
import { cpuLatency, reportLevel, reportManifest } from '../../test/support/report-manifest.ts';
import type { ReportData } from './report-data.ts';
import { reportPage } from './write-report.ts';

class FakeElement {
  readonly tag: string;
  children: FakeElement[] = [];
  text = '';
  value = '';
  hidden = false;
  readonly style: Record<string, string> = {};
  readonly listeners: (() => void)[] = [];

  constructor(tag = '') {
    this.tag = tag;
  }

  get textContent(): string {
    return this.text + this.children.map((child) => child.textContent).join(' ');
  }
  set textContent(text: string) {
    this.text = text;
  }
  get firstChild(): FakeElement | undefined {
    return this.children[0];
  }
  append(...added: (FakeElement | string)[]): void {
    for (const each of added)
      this.children.push(typeof each === 'string' ? Object.assign(new FakeElement(), { text: each }) : each);
  }
  replaceChildren(...added: FakeElement[]): void {
    this.children = added;
  }
  setAttribute(): void {}
  addEventListener(_: string, listener: () => void): void {
    this.listeners.push(listener);
  }
}

interface Chart {
  readonly xAxis: Readonly<Record<string, unknown>>;
  readonly yAxis: Readonly<Record<string, unknown>>;
  readonly series: readonly {
    readonly name?: string;
    readonly symbol?: string;
    readonly data: number[][];
    readonly lineStyle?: { readonly type?: unknown };
  }[];
}

/** @returns elements by id, and what each chart was last told to draw */
function browse(page: string) {
  const scripts = [...page.matchAll(/<script(?: [^>]*)?>(.*?)<\/script>/gs)].map(
    ([, content = '']) => content,
  );
  const [data = '', , script = ''] = scripts;
  const elements = new Map<string, FakeElement>();
  const charts: Record<string, Chart> = {};
  const byId = (id: string) => {
    const known = elements.get(id) ?? new FakeElement();
    elements.set(id, known);
    return known;
  };
  byId('data').text = data;
  const nameOf = (element: FakeElement) => [...elements].find(([, each]) => each === element)?.[0] ?? '';
  const echarts = {
    init: (element: FakeElement) => ({
      setOption: (option: Chart) => {
        charts[nameOf(element)] = option;
      },
      resize() {},
    }),
  };
  runInNewContext(script, {
    document: {
      getElementById: byId,
      createElement: (tag: string) => new FakeElement(tag),
      documentElement: {},
      body: {},
    },
    window: { echarts },
    getComputedStyle: () => ({ getPropertyValue: () => '#000' }),
    matchMedia: () => ({ addEventListener() {} }),
    ResizeObserver: class {
      observe() {}
    },
  });
  return { byId, charts };
}

const level = (place: number, relativeFlops: number, accuracy: number, perplexity: number) =>
  reportLevel(
    { level: place, relativeFlops },
    {
      quality: {
        metric: 'next-token-accuracy',
        unit: 'share',
        value: accuracy,
        low: accuracy - 0.0033754,
        high: accuracy + 0.0033754,
        samples: 1000,
        details: {
          perplexity: {
            value: perplexity,
            low: perplexity - 0.11,
            high: perplexity + 0.11,
            unit: 'perplexity',
            better: 'lower',
          },
        },
      },
      latency: [1, 8].map((batch) => cpuLatency(batch, batch * (1 + place))),
    },
  );

const manifest = reportManifest(
  [level(0, 0.3, 0.4512345, 6.16), level(1, 0.5, 0.52, 5.2), level(2, 1, 0.5312345, 4.72)],
  { id: 'text', task: 'next-token' },
);
const kept: Omit<ReportData, 'baselines'> = {
  formatVersion: 1,
  steps: 100,
  entries: [[10.5, 20, null]],
  notes: ['a note', 'slower levels; --frontier leaves them out'],
  cost: [],
};
const baselines = [
  { name: 'random', points: [{ relativeFlops: 0.3, value: 0.2 }] },
  {
    name: 'Fisher',
    metric: 'perplexity',
    points: [
      { relativeFlops: 0.3, relativeParams: 0.3, value: 17.1, low: 17, high: 17.2 },
      { relativeFlops: 1, relativeParams: 1, value: 4.72 },
    ],
  },
];

describe('the report in a browser', () => {
  let seen: ReturnType<typeof browse>;
  beforeAll(async () => {
    seen = browse(await reportPage(manifest, { ...kept, baselines }));
  });
  const chart = (id: string) => seen.charts[id] as Chart;

  test('charts have ends that can be read, and say where lower is better', () => {
    const { byId } = seen;
    byId('metric').value = 'perplexity';
    for (const draw of byId('metric').listeners) draw();
    expect(chart('by-flops').yAxis).toMatchObject({ name: 'perplexity, lower is better', min: 4, max: 10 });
    expect(chart('by-latency').xAxis).toMatchObject({ scale: true, axisLabel: { showMinLabel: false } });
    byId('metric').value = 'next-token-accuracy';
    for (const draw of byId('metric').listeners) draw();
    const { min, max, name } = chart('by-flops').yAxis;
    expect(name).toBe('next-token-accuracy');
    for (const end of [min, max]) expect(String(end).length).toBeLessThan(6);
  });

  test('ways are drawn and named where they were measured by the metric that is shown', () => {
    const { byId } = seen;
    const drawn = () => chart('by-flops').series.flatMap(({ name }) => name ?? []);
    byId('metric').value = 'perplexity';
    for (const draw of byId('metric').listeners) draw();
    expect(drawn()).toEqual(['path', 'Fisher']);
    expect(byId('ways').textContent).toMatch(/this path.*Fisher/);
    expect(byId('ways').textContent).not.toContain('random');
    byId('metric').value = 'next-token-accuracy';
    for (const draw of byId('metric').listeners) draw();
    expect(drawn()).toEqual(['path', 'random']);
  });

  test('times are of the batch size that is chosen', () => {
    const { byId } = seen;
    const times = () =>
      chart('by-latency')
        .series.find(({ name }) => name === 'path')
        ?.data.map(([ms]) => ms);
    expect(byId('batch').children.map(({ textContent }) => textContent)).toEqual(['1', '8']);
    expect(times()).toEqual([1, 2, 3]);
    byId('batch').value = '8';
    for (const draw of byId('batch').listeners) draw();
    expect(chart('by-latency').xAxis).toMatchObject({ name: 'p50 ms at batch 8' });
    expect(times()).toEqual([8, 16, 24]);
  });

  test('everything that is drawn is in a table, too', () => {
    const rows = (id: string) =>
      seen.byId(id).children.map((row) => row.children.map(({ textContent }) => textContent));
    expect(rows('levels')[1]).toEqual(
      expect.arrayContaining(['30.0 %', '0.4512', '6.1600', '6.0500 to 6.2700', '1.00', '8.00']),
    );
    expect(rows('baselines')).toContainEqual(['Fisher', 'perplexity', '30.0 %', '17.1', '17 to 17.2']);
    expect(rows('widths')[1]).toEqual(['mlp', '6', '2', '4', '6']);
    expect(seen.byId('baselines-details').hidden).toBe(false);
    expect(seen.byId('notes').textContent).toContain('a note');
    expect(seen.byId('advice-note').textContent).toMatch(
      /For at most 1 % loss use level 2: the dense one\. Loss counts in points/,
    );
  });

  test('no line of a note breaks inside a flag', () => {
    const parts = seen.byId('notes').children[1]?.children.map(({ tag, textContent }) => [tag, textContent]);
    expect(parts).toEqual([
      ['', 'slower levels; '],
      ['code', '--frontier'],
      ['', ' leaves them out'],
    ]);
  });

  test('shows first what the ways were measured by', async () => {
    const [, fisher] = baselines;
    const { byId, charts } = browse(await reportPage(manifest, { ...kept, baselines: [fisher!] }));
    expect(byId('metric').value).toBe('perplexity');
    expect((charts['by-flops'] as Chart).series.map(({ name }) => name)).toContain('Fisher');
  });

  test('without baselines there is no table of them', async () => {
    const { byId } = browse(await reportPage(manifest, undefined));
    expect(byId('baselines-details').hidden).toBe(true);
    expect(byId('ways').children).toEqual([]);
    expect(byId('metric').value).toBe('next-token-accuracy');
  });
});

test('kinds of pairs are told apart without colour, in chart and legend', async () => {
  const [pair] = manifest.pairs;
  if (pair === undefined) throw new Error('no pair');
  const kinds = ['query-key', 'value-projection', 'sequential', 'gated'] as const;
  const pairs = kinds.map((kind) => ({ ...pair, name: kind, kind }));
  const levels = manifest.levels.map((each) => ({ ...each, widths: kinds.map(() => 1) }));
  const entries = kinds.map(() => [10]);
  const { byId, charts } = browse(
    await reportPage({ ...manifest, pairs, levels }, { ...kept, entries, baselines: [] }),
  );
  const legend = byId('kinds').children.slice(0, kinds.length);
  const strokes = legend.map(({ firstChild }) => firstChild?.style.background?.replaceAll(/var\(.*?\)/g, ''));
  const lines = charts.path?.series.map(({ lineStyle }) => JSON.stringify(lineStyle?.type));
  expect([new Set(strokes).size, new Set(lines).size]).toEqual([4, 4]);
});
