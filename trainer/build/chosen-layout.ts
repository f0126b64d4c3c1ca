/** How a build spreads its steps over the cores: as asked, or as a few steps on the model itself show to be fastest. */
import { stepFor } from '../doctor/probe-step.ts';
import { timeLayouts } from '../doctor/time-layouts.ts';
import { candidateBackends } from '../engine/backend-names.ts';
import { fastestLayout, type LaneLayout, layoutOf, layoutsFor, layoutText } from '../engine/lane-layout.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { computeThreads } from '../runtime/compute.ts';
import { weightBytes } from '../runtime/session-pool.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';

/** Trying models that are larger takes longer than it can win; a worker a core is taken. */
const MOST_TRIED_BYTES = 2 ** 29;

/** What is asked for is not tried: of threads alone, workers are as many as the cores hold. */
export async function chosenLayout(
  model: TracedModel,
  { workers, workerThreads, backend }: Pick<BuildOptions, 'workers' | 'workerThreads' | 'backend'>,
  progress: Pick<Progress, 'note'>,
): Promise<LaneLayout> {
  const cores = computeThreads();
  if (workers !== undefined) return { workers, threads: workerThreads ?? 1 };
  if (workerThreads !== undefined) return layoutOf(cores, workerThreads);
  const [first] = layoutsFor(cores) as [LaneLayout];
  const runs = candidateBackends(backend)[0] === 'onnxruntime';
  if (!runs || cores === 1 || weightBytes(model.graph) > MOST_TRIED_BYTES) return first;
  try {
    const probe = await stepFor(model);
    const timed = await timeLayouts(probe.model, probe.step, cores);
    const layout = fastestLayout(timed);
    const figures = timed.map(
      (each) => `${layoutText(each.layout)} ${each.stepMs.toFixed(1)} and ${each.typicalMs.toFixed(1)} ms`,
    );
    progress.note(
      `a step, at its best and as a rule, with ${figures.join(', ')}: ${layoutText(layout)} it is`,
    );
    return layout;
  } catch (error) {
    // What the model lacks on this backend is said when the search begins, with the way out.
    progress.note(`not measured what workers to use: ${(error as Error).message}`);
    return first;
  }
}
