/** What a report needs beyond the manifest. */
import { z } from 'zod';

export const reportDataSchema = z.strictObject({
  formatVersion: z.literal(1),
  /** Steps of the search; entry times count in them. */
  steps: z.int().positive(),
  /** By pair, ascending; null for units that never entered the support. */
  entries: z.array(z.array(z.number().nullable())),
  /** What the run has to say: levels dropped, micro-batches halved. */
  notes: z.array(z.string()),
  /** Time of each stage, and its work in epochs of the dense model's training. */
  cost: z.array(z.strictObject({ stage: z.string(), seconds: z.number(), epochs: z.number() })),
  /** Other ways of pruning at equal FLOPs, where they were measured. */
  baselines: z.array(
    z.strictObject({
      name: z.string(),
      /** One of those that levels are measured by; the main one where absent. */
      metric: z.string().optional(),
      points: z.array(
        z.strictObject({
          relativeFlops: z.number(),
          relativeParams: z.number().optional(),
          value: z.number(),
          /** Of one measurement, by its test examples, or over seeds where that is wider. */
          low: z.number().optional(),
          high: z.number().optional(),
        }),
      ),
    }),
  ),
});
export type ReportData = z.infer<typeof reportDataSchema>;
