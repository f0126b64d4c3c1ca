/** The search from a calibrated model to the inclusion's last state, with memory of what an earlier run had done. */

import { createMaskEngine } from '../engine/mask-engine.ts';
import type { LimitLog } from '../engine/memory-limits.ts';
import { computeThreads } from '../runtime/compute.ts';
import {
  defaultInclusion,
  type InclusionOptions,
  type InclusionState,
  inclusionStep,
  type UnitScales,
} from '../search/inclusion.ts';
import { publishedForm, publishedStep, resumedPublished } from '../search/published-form.ts';
import { answerGraph } from './answer.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { BuildOptions } from './options.ts';
import { type Progress, sayHalved, sayRecompute } from './progress.ts';
import { estimateCurvature, FISHER_BATCHES, runSearch, type SearchForm, unitScales } from './search-stage.ts';

/** What a run remembers of the search; a build keeps it in its checkpoint, a benchmark nowhere. */
export interface SearchMemory {
  readonly curvature: Float64Array | undefined;
  readonly state: InclusionState | undefined;
  /** What the run learns about memory. */
  readonly limits?: LimitLog;
  saveCurvature(curvature: Float64Array): Promise<void>;
  saveState(state: InclusionState): Promise<void>;
}

export const noMemory: SearchMemory = {
  curvature: undefined,
  state: undefined,
  saveCurvature: async () => {},
  saveState: async () => {},
};

/** Settings of the form that the options ask for, as runs record them. */
export function searchSettings({ search, steps }: Pick<BuildOptions, 'search' | 'steps'>) {
  return search === 'published' ? { ...publishedForm, steps } : { ...defaultInclusion, steps };
}

/** A build's options, and what a sweep sets differently. */
export type SearchOptions = BuildOptions & {
  /** Examples that a worker computes at once, at most. */
  readonly microBatch?: number | undefined;
  readonly inclusion?: Partial<Pick<InclusionOptions, 'stepSize' | 'couplingQuantiles'>>;
};

function formOf(options: SearchOptions, scales: UnitScales): SearchForm {
  if (options.search === 'published') {
    const settings = { ...publishedForm, steps: options.steps };
    return {
      steps: settings.steps,
      step: (state, gradient) => publishedStep(resumedPublished(state), gradient, settings),
    };
  }
  const settings = { ...defaultInclusion, ...options.inclusion, steps: options.steps };
  return {
    steps: settings.steps,
    step: (state, gradient) => inclusionStep(state, gradient, scales, settings),
  };
}

/**
 * The curvature, unless it is known, then the steps of the form that the options ask for, from where an earlier run had come.
 * @returns the state behind the last step, whose `pathOrder` is the path
 * @throws `backend-unavailable` or `unsupported-op` when no backend computes the model, `numerical-failure` when loss or gradients are no
 * numbers, `interrupted` with the state kept
 */
export async function searchPath(
  { model, pool, teacher }: CalibratedModel,
  options: SearchOptions,
  progress: Progress,
  memory: SearchMemory = noMemory,
  signal?: AbortSignal,
): Promise<InclusionState> {
  if (memory.state !== undefined && memory.state.step >= options.steps) return memory.state;
  const workers = options.workers ?? Math.min(8, computeThreads());
  const engine = await createMaskEngine({
    graph: answerGraph(model.graph, pool.task),
    pairs: model.pairs,
    backend: options.backend,
    workers,
    workerThreads: options.workerThreads ?? 1,
    recompute: options.recompute,
    microBatch: options.microBatch,
    onHalved: sayHalved(progress),
    onRecompute: sayRecompute(progress),
  });
  try {
    const { batch, loss, seed } = options;
    const context = {
      engine,
      pairs: model.pairs,
      pool,
      teacher,
      batch,
      loss,
      seed,
      ...(signal ? { signal } : {}),
      ...(memory.limits ? { limits: memory.limits } : {}),
    };
    for (const { backend, reason } of engine.passedOver) progress.note(`not on ${backend}: ${reason}`);
    progress.note(
      `searching on ${engine.backend} with ${engine.workers} worker${engine.workers === 1 ? '' : 's'}`,
    );
    let curvature = memory.curvature;
    if (curvature === undefined) {
      const estimating = progress.stage('curvature', FISHER_BATCHES);
      curvature = await estimateCurvature(context, estimating);
      await memory.saveCurvature(curvature);
      estimating.finish();
    }
    const searching = progress.stage('search', options.steps, memory.state?.step);
    const form = formOf(options, unitScales(model.pairs, curvature));
    const state = await runSearch(context, form, memory.state, memory.saveState, searching);
    await memory.saveState(state);
    searching.finish();
    return state;
  } finally {
    await engine.close();
  }
}
