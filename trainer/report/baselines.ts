/** Other ways of pruning for the report, read from what the benchmark writes (`npm run bench:path -- --docs`). */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import type { ReportData } from './report-data.ts';

const cellSchema = z.object({
  mean: z.number(),
  halfInterval: z.number(),
  deviation: z.number(),
  seeds: z.int(),
});
const benchSchema = z.object({
  model: z.string(),
  /** What artifacts call the metric, and how many of it make one of theirs. */
  measured: z.object({ metric: z.string(), per: z.number().positive() }),
  labels: z.record(z.string(), z.string()),
  rows: z.array(z.object({ flops: z.number(), params: z.number(), cells: z.record(z.string(), cellSchema) })),
});

/**
 * @param metrics that the path's levels have: others cannot be drawn beside it
 * @throws `bad-data` when the file is none of the benchmark's, or of a model that is measured otherwise
 */
export async function readBaselines(
  file: string,
  metrics: readonly string[],
): Promise<ReportData['baselines']> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw refused(file, cause);
  });
  const bench = parsed(text, file);
  const { model, measured } = bench;
  if (metrics.includes(measured.metric)) return baselinesOf(bench);
  throw new SppError(
    'bad-data',
    `${file} is of ${model}, by ${measured.metric}; these levels are measured by ${metrics.join(', ')}.`,
    { hint: 'Give the results of the model that the path is of.' },
  );
}

function parsed(text: string, file: string): z.infer<typeof benchSchema> {
  try {
    return benchSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw refused(file, cause);
  }
}

function baselinesOf({ measured, labels, rows }: z.infer<typeof benchSchema>): ReportData['baselines'] {
  const { metric, per } = measured;
  return Object.entries(labels).flatMap(([method, name]) => {
    const points = rows.flatMap(({ flops, params, cells }) => {
      const cell = cells[method];
      if (cell === undefined || cell.seeds === 0) return [];
      const half = Math.max(cell.halfInterval, 2 * cell.deviation);
      return [
        {
          relativeFlops: flops,
          relativeParams: params,
          value: cell.mean / per,
          low: (cell.mean - half) / per,
          high: (cell.mean + half) / per,
        },
      ];
    });
    return points.length === 0 ? [] : [{ name, metric, points }];
  });
}

function refused(file: string, cause: unknown): SppError {
  return new SppError('bad-data', `${file} holds no results of the path benchmark.`, {
    hint: 'Give a JSON file that `npm run bench:path -- --docs FOLDER` wrote.',
    cause,
  });
}
