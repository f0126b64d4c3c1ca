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

/** @throws `bad-data` when the file is none of the benchmark's */
export async function readBaselines(file: string): Promise<ReportData['baselines']> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw refused(file, cause);
  });
  try {
    return baselinesOf(benchSchema.parse(JSON.parse(text)));
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
