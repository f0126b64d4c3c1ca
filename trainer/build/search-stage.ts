/** Runs the search: gradients from an engine, the inclusion's step on the host, a checkpoint now and then. */
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import type { MaskEngine, MaskStep } from '../engine/mask-engine.ts';
import { type LimitLog, noLimitLog } from '../engine/memory-limits.ts';
import type { Tensor } from '../graph/graph.ts';
import type { Pair } from '../pairs/pair.ts';
import {
  assertFinite,
  type InclusionState,
  initialState,
  supportShare,
  type UnitScales,
} from '../search/inclusion.ts';
import { randomSource, sampleIndices, streams } from '../search/random.ts';
import { indexUnits, joinPairs, splitByPair, unitCosts } from '../search/units.ts';
import type { Answers } from './answers.ts';
import type { Pool } from './calibration.ts';
import { float64Array } from './checkpoint.ts';
import type { LossName } from './options.ts';
import type { StageProgress } from './progress.ts';
import { throwIfAborted } from './throw-if-aborted.ts';

export interface SearchContext {
  readonly engine: MaskEngine;
  readonly pairs: readonly Pair[];
  readonly pool: Pool;
  /** The dense model's answers, by place in the pool's indices. */
  readonly teacher: Pick<Answers, 'rows'>;
  readonly batch: number;
  readonly loss: LossName;
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** What the run learns about memory; nothing is remembered without. */
  readonly limits?: LimitLog;
}

/** Batches over which the Fisher diagonal is averaged. */
export const FISHER_BATCHES = 24;
const CHECKPOINT_EVERY = 10;
/** Of what is learnt about memory: the curvature's batches are its steps before 0, as one engine computes both. */
const LIMITS = 'search';

export const inclusionStateSchema = z.object({
  step: z.int().nonnegative(),
  masks: float64Array,
  dual: float64Array,
  gamma: float64Array,
  entry: float64Array,
  /** Only of the published form: its optimiser's running moments. */
  first: float64Array.optional(),
  second: float64Array.optional(),
});

/** How the search moves: from a state and the loss's gradient in the masks to the next state. */
export interface SearchForm {
  readonly steps: number;
  step(state: InclusionState, gradient: Float64Array): InclusionState;
}

/**
 * h_j, the Fisher diagonal in the masks at M = 1, flat over all units: E[g_j^2] of single rows' gradients g of
 * -log p(y), estimated from batches of R rows as R E[(mean g)^2], since gradients of the log-likelihood average to 0
 * under the model (an image has one row, a text one a token). y is drawn from the dense model's own distribution, so no
 * labels are needed: classes from the softmax of scores; of other answers a, a + r with signs r at random, which has the
 * covariance of the unit Gaussian whose -log p is the squared distance: E[(r . da/dM_j)^2] = |da/dM_j|^2, the
 * Gauss-Newton diagonal. With the task's loss, y is the label.
 * @throws `numerical-failure` when a gradient is no number
 */
export async function estimateCurvature(
  context: SearchContext,
  progress: StageProgress,
): Promise<Float64Array> {
  const index = indexUnits(context.pairs);
  const ones = splitByPair(index, new Float64Array(index.total).fill(1));
  const sum = new Float64Array(index.total);
  let rowsEach = 1;
  for (let batch = 0; batch < FISHER_BATCHES; batch++) {
    throwIfAborted(context.signal);
    const source = randomSource(context.seed, streams.fisher, batch);
    const rows = sampleIndices(source, context.pool.indices.length, context.batch);
    const loss = await drawnTarget(context, rows, () => source.uniform());
    rowsEach = rowsOf(loss) / rows.length;
    const { engine, limits = noLimitLog } = context;
    const step = { ...(await batchOf(context, rows)), masks: ones, loss };
    limits.before(LIMITS, batch - FISHER_BATCHES, engine);
    const result = await engine.step(step);
    await limits.after(LIMITS, batch - FISHER_BATCHES, engine);
    const gradient = joinPairs(index, result.gradients);
    // Kept in a checkpoint, one that is no number would fail every run that goes on.
    assertFinite(gradient, `in batch ${batch} of the curvature`);
    for (const [j, g] of gradient.entries()) sum[j] = (sum[j] as number) + g * g;
    progress.update(batch + 1, { loss: result.loss });
  }
  return sum.map((value) => (value * context.batch * rowsEach) / FISHER_BATCHES);
}

/** Scales of all units, with a floor that keeps a unit no batch ever touched from dividing by nothing. */
export function unitScales(pairs: readonly Pair[], curvature: Float64Array): UnitScales {
  const largest = curvature.reduce((a, b) => Math.max(a, b), 0);
  if (!(largest > 0 && Number.isFinite(largest))) {
    throw new SppError('numerical-failure', 'No unit has any influence on the loss.', {
      hint: 'Check that the data fits the model: the dense model seems to answer the same whatever it is shown.',
    });
  }
  const cost = unitCosts(pairs);
  const mean = cost.reduce((a, b) => a + b, 0) / cost.length;
  return { curvature: curvature.map((h) => Math.max(h, largest * 1e-12)), cost: cost.map((c) => c / mean) };
}

/**
 * Runs the search from `from` (or its start) to the end. `save` is awaited every few steps, on interruption, and with the last good state
 * before an error.
 * @throws `numerical-failure` when a loss or a gradient is no number, `interrupted`
 */
export async function runSearch(
  context: SearchContext,
  form: SearchForm,
  from: InclusionState | undefined,
  save: (state: InclusionState) => Promise<void>,
  progress: StageProgress,
): Promise<InclusionState> {
  const index = indexUnits(context.pairs);
  let state = from ?? initialState(index.total);
  while (state.step < form.steps) {
    if (context.signal?.aborted) {
      await save(state);
      throwIfAborted(context.signal);
    }
    const rows = sampleIndices(
      randomSource(context.seed, streams.search, state.step),
      context.pool.indices.length,
      context.batch,
    );
    const { engine, limits = noLimitLog } = context;
    const step = {
      ...(await batchOf(context, rows)),
      masks: splitByPair(index, state.masks),
      loss: await lossOf(context, rows),
    };
    limits.before(LIMITS, state.step, engine);
    const { loss, gradients } = await engine.step(step);
    await limits.after(LIMITS, state.step, engine);
    if (!Number.isFinite(loss)) {
      await save(state);
      throw new SppError('numerical-failure', `The loss is ${loss} at step ${state.step} of the search.`, {
        hint: 'Check the data and its normalisation, or try another --backend, and start over with --force. The last good state is kept: --resume tries the step again, which helps where a device failed.',
      });
    }
    const before = state;
    try {
      state = form.step(before, joinPairs(index, gradients));
    } catch (error) {
      await save(before);
      throw error;
    }
    if (state.step % CHECKPOINT_EVERY === 0) await save(state);
    progress.update(state.step, { loss, support: supportShare(state) });
  }
  return state;
}

async function batchOf(context: SearchContext, rows: readonly number[]): Promise<Pick<MaskStep, 'feeds'>> {
  return { feeds: await context.pool.data.train.feeds(examplesAt(context, rows)) };
}

async function lossOf(context: SearchContext, rows: readonly number[]): Promise<MaskStep['loss']> {
  const { output, task } = context.pool;
  return context.loss === 'cross-entropy'
    ? { kind: 'cross-entropy', output, labels: labelsOf(context, rows) }
    : { kind: task.loss, output, teacher: await context.teacher.rows(rows) };
}

/** What the curvature's gradients are taken against. */
async function drawnTarget(
  context: SearchContext,
  rows: readonly number[],
  uniform: () => number,
): Promise<MaskStep['loss']> {
  const { output, task } = context.pool;
  if (context.loss === 'cross-entropy') return lossOf(context, rows);
  const dense = await context.teacher.rows(rows);
  return task.loss === 'kl'
    ? { kind: 'cross-entropy', output, labels: sampleLabels(dense, uniform) }
    : { kind: 'squared', output, teacher: withSigns(dense, uniform) };
}

function rowsOf(loss: MaskStep['loss']): number {
  return 'labels' in loss ? loss.labels.length : loss.teacher.data.length / (loss.teacher.dims.at(-1) ?? 1);
}

/** Answers with 1 or -1 added to each element. */
function withSigns({ dtype, dims, data }: Tensor, uniform: () => number): Tensor {
  return { dtype, dims, data: (data as Float32Array).map((value) => value + (uniform() < 0.5 ? -1 : 1)) };
}

/** @throws `usage` when the data has no labels */
function labelsOf(context: SearchContext, rows: readonly number[]): Int32Array {
  const { data, task } = context.pool;
  const labels = task.name === 'classification' || task.name === 'next-token' ? data.train.labels : undefined;
  if (labels !== undefined) return labels(examplesAt(context, rows));
  throw new SppError('usage', `The task ${task.name} has no labels for --loss cross-entropy.`, {
    hint: 'Use --loss distil, which needs none.',
  });
}

function examplesAt({ pool }: SearchContext, rows: readonly number[]): number[] {
  return rows.map((row) => pool.indices[row] as number);
}

/** One draw from softmax(logits) for each row. */
export function sampleLabels(logits: Tensor, uniform: () => number): Int32Array {
  const values = logits.data as Float32Array;
  const classes = logits.dims.at(-1) ?? 1;
  // Plain loops and one row of memory: rows are tokens, classes a vocabulary.
  const weights = new Float64Array(classes);
  return Int32Array.from({ length: values.length / classes }, (_, row) => {
    let top = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < classes; c++) top = Math.max(top, values[row * classes + c] as number);
    let total = 0;
    for (let c = 0; c < classes; c++) {
      weights[c] = Math.exp((values[row * classes + c] as number) - top);
      total += weights[c] as number;
    }
    let rest = uniform() * total;
    for (let c = 0; c < classes; c++) {
      rest -= weights[c] as number;
      if (rest < 0) return c;
    }
    return classes - 1;
  });
}
