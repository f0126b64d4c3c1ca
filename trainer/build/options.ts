/** Options of a build, as the command line and other callers give them: one schema for types, defaults and checks. */
import { z } from 'zod';
import { modelIdSchema } from '../../schema/manifest.ts';
import { backendChoices } from '../engine/backend-names.ts';
import { taskNames } from '../measure/task.ts';
import { defaultRecovery } from '../recovery/plan.ts';
import { defaultInclusion } from '../search/inclusion.ts';

/** What the search may be asked to keep; `distil` follows the outputs' meaning. */
export const lossNames = ['distil', 'kl', 'cosine', 'mse', 'cross-entropy'] as const;
export type LossName = (typeof lossNames)[number];

export const buildOptionsSchema = z.strictObject({
  /** Name under which the model is served. */
  id: modelIdSchema,
  levels: z.int().min(2).max(100).default(16),
  /** Share of the dense FLOPs that level 0 keeps at most. */
  lowest: z.number().gt(0).lt(1).default(0.25),
  /** Shares of the dense FLOPs instead of an even grid; the dense level is always there. */
  grid: z.array(z.number().gt(0).lt(1)).min(1).max(99).optional(),
  /** Widths are rounded to multiples of this many units, as devices like that compute in tiles; `auto`: what this machine likes, timed. */
  align: z.union([z.literal('auto'), z.int().min(1).max(1024)]).default(1),
  /** Leave out levels that another beats in quality without being slower. */
  frontier: z.boolean().default(false),
  seed: z.int().min(0).max(0x7fffffff).default(0),
  /** `inclusion`: coupled and annealed; `published`: as the paper's code runs it, for comparison. */
  search: z.enum(['inclusion', 'published']).default('inclusion'),
  steps: z.int().min(10).max(100_000).default(defaultInclusion.steps),
  batch: z.int().min(1).max(4096).default(64),
  loss: z.enum(lossNames).default('distil'),
  /** What quality means; unasked, it follows from the data's labels and the model's outputs. */
  task: z.enum(taskNames).optional(),
  /** The outputs that the path is to keep; unasked, those that the task takes. */
  outputs: z.array(z.string().min(1)).min(1).optional(),
  rotate: z.boolean().default(true),
  compensate: z.boolean().default(true),
  /** Steps of joint recovery; `auto` takes what a short build affords, `off` leaves the weights as they are. */
  recover: z.union([z.enum(['auto', 'off']), z.int().min(1).max(1_000_000)]).default('auto'),
  /** What recovery trains: every weight, those of the pairs' linears, or scales and biases, of each level its own; `auto`: every weight where memory holds that. */
  recoverWeights: z.enum(['auto', 'all', 'pairs', 'vectors']).default('auto'),
  /** Relative step size of recovery at its peak. */
  recoverRate: z.number().gt(0).lt(1).default(defaultRecovery.rate),
  backend: z.enum(backendChoices).default('auto'),
  /** Unasked, what a few steps show to be fastest. */
  workers: z.int().min(1).max(256).optional(),
  /** Threads of each worker, of onnxruntime on the cpu. */
  workerThreads: z.int().min(1).max(256).optional(),
  /** Compute activations twice instead of keeping them: half the memory of a step, more time. */
  recompute: z.boolean().default(false),
  /** Training examples that calibration, teacher and search draw from. */
  calibration: z.int().min(64).default(8192),
  /** Test examples that each level's quality is measured on. */
  testSamples: z.int().min(1).default(10_000),
  /** Runs of each level and batch that latency is taken from. */
  latencyRounds: z.int().min(3).default(100),
});

export type BuildOptions = z.infer<typeof buildOptionsSchema>;
