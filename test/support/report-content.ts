/** A small made-up path as reports show it, with other ways of pruning beside it. */
import type { ReportData } from '../../trainer/report/report-data.ts';
import { cpuLatency, reportLevel, reportManifest } from './report-manifest.ts';

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

/** Three levels of a decoder, measured by accuracy and perplexity, and timed at two batch sizes. */
export const decoderManifest = reportManifest(
  [level(0, 0.3, 0.4512345, 6.16), level(1, 0.5, 0.52, 5.2), level(2, 1, 0.5312345, 4.72)],
  { id: 'text', task: 'next-token' },
);

/** One way that was measured by each metric. */
export const otherWays: ReportData['baselines'] = [
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

export const keptOfRun: ReportData = {
  formatVersion: 1,
  steps: 100,
  entries: [[10.5, 20, null]],
  notes: ['a note', 'slower levels; --frontier leaves them out'],
  cost: [
    { stage: 'search', seconds: 8, epochs: 0.125 },
    { stage: 'recover', seconds: 60, epochs: 2 },
  ],
  baselines: otherWays,
};
