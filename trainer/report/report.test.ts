import { expect, test } from 'vitest';
import { cpuLatency, reportLevel, reportManifest } from '../../test/support/report-manifest.ts';
import { adviceText, guideline, lossText } from './guideline.ts';
import { reportPage } from './write-report.ts';

const level = (place: number, relativeFlops: number, value: number, p50Ms: number) =>
  reportLevel(
    { level: place, relativeFlops },
    {
      quality: {
        metric: 'accuracy',
        unit: 'share',
        value,
        low: value - 0.01,
        high: value + 0.01,
        samples: 1000,
      },
      latency: [cpuLatency(1, p50Ms)],
    },
  );

const manifest = reportManifest([level(0, 0.3, 0.9, 1), level(1, 0.5, 0.955, 1.5), level(2, 1, 0.96, 3)], {
  pair: '</script><b>mlp',
});

test('advises the sparsest level within each tolerance, in points for accuracy', () => {
  const advice = guideline(manifest);
  expect(advice.map(({ tolerance, level: chosen }) => [tolerance, chosen])).toEqual([
    [0.001, 2],
    [0.005, 1],
    [0.01, 1],
    [0.02, 1],
    [0.05, 1],
    [0.1, 0],
  ]);
  expect(adviceText(advice[2]!)).toBe('for at most 1 % loss use level 1: 50 % of the FLOPs, 2.0x faster');
  expect(advice[2]?.worstLoss).toBeCloseTo(0.015, 9);
});

test('says that the dense level is meant, and where nothing is gained in time', () => {
  const slow = { ...manifest.levels[1]!, latency: manifest.levels[2]!.latency };
  const advice = guideline({ levels: [manifest.levels[0]!, slow, manifest.levels[2]!] });
  expect(adviceText(advice[0]!)).toBe('for at most 0.1 % loss use level 2: the dense one');
  expect(adviceText(advice[2]!)).toBe('for at most 1 % loss use level 1: 50 % of the FLOPs, not faster');
});

test('says what loss counts in', () => {
  const { quality } = manifest.levels[2]!;
  expect(lossText({ quality })).toBe('Loss counts in points of accuracy, of which the dense level has 96 %.');
  expect(lossText({ quality: { ...quality, metric: 'fidelity', unit: 'share of variance' } })).toBe(
    "Loss is relative to the dense level's fidelity.",
  );
});

test('a loss in other units is relative to the dense level', () => {
  const inNats = (value: number) => ({
    ...manifest.levels[0]!.quality,
    unit: 'nats' as const,
    value,
    low: value,
  });
  const levels = [
    { ...manifest.levels[0]!, quality: inNats(-2.02) },
    { ...manifest.levels[2]!, quality: inNats(-2) },
  ];
  expect(guideline({ levels })[2]).toMatchObject({ level: 0, loss: expect.closeTo(0.01, 9) });
});

test('charts of each metric have round ends, around all levels and the ways beside them', async () => {
  const points = [{ relativeFlops: 0.3, value: 0.1 }];
  const page = await reportPage(manifest, {
    formatVersion: 1,
    steps: 100,
    entries: [[1, 2]],
    notes: [],
    cost: [],
    baselines: [{ name: 'random', points }],
  });
  const text = /<script id="data" type="text\/plain">(.*?)<\/script>/s.exec(page)?.[1] ?? '';
  const { metrics, ranges } = JSON.parse(text);
  expect(metrics).toEqual(['accuracy']);
  expect(ranges.accuracy).toEqual({ min: 0.7, max: 1, interval: 0.05 });
});

test('the page needs nothing from elsewhere, and names cannot break out of its data', async () => {
  const page = await reportPage(manifest, undefined);
  const frame = page.replaceAll(/<script[^>]*>.*?<\/script>/gs, '<script></script>');
  expect(frame).not.toMatch(/\b(?:src|href)=|@import|url\(/);
  expect(page).not.toContain('</script><b>mlp');
  const text = /<script id="data" type="text\/plain">(.*?)<\/script>/s.exec(page)?.[1] ?? '';
  expect(JSON.parse(text).pairs[0].name).toBe('</script><b>mlp');
  for (const part of ['STYLE', 'LIBRARY', 'SCRIPT', 'DATA', 'TITLE'])
    expect(page).not.toContain(`/*${part}*/`);
});
