/** Times steps of the search on a model in each way of spreading them over the cores. */
import { type LaneLayout, layoutsFor, type TimedLayout } from '../engine/lane-layout.ts';
import { createMaskEngine, type MaskEngine, type MaskStep } from '../engine/mask-engine.ts';
import type { TracedModel } from '../pairs/prepare.ts';

/** The first step makes the sessions. */
const WARM_UP = 2;
const ROUNDS = 4;

/**
 * Layouts take turns, and each has its fastest step: what else the machine does meanwhile falls on all alike.
 * @returns in the order of `layoutsFor`
 */
export async function timeLayouts(
  { graph, pairs }: Pick<TracedModel, 'graph' | 'pairs'>,
  step: MaskStep,
  cores: number,
): Promise<[TimedLayout, ...TimedLayout[]]> {
  const tried: { readonly layout: LaneLayout; readonly engine: MaskEngine; stepMs: number }[] = [];
  try {
    for (const layout of layoutsFor(cores)) {
      const { workers, threads } = layout;
      const options = { graph, pairs, backend: 'onnxruntime', workers, workerThreads: threads } as const;
      tried.push({ layout, engine: await createMaskEngine(options), stepMs: Number.POSITIVE_INFINITY });
    }
    // Sessions are made side by side.
    await Promise.all(
      tried.map(async ({ engine }) => {
        for (let i = 0; i < WARM_UP; i++) await engine.step(step);
      }),
    );
    for (let round = 0; round < ROUNDS; round++)
      for (const each of round % 2 === 0 ? tried : tried.toReversed()) {
        const started = performance.now();
        await each.engine.step(step);
        each.stepMs = Math.min(each.stepMs, performance.now() - started);
      }
  } finally {
    await Promise.all(tried.map(({ engine }) => engine.close()));
  }
  return tried.map(({ layout, stepMs }) => ({ layout, stepMs })) as [TimedLayout, ...TimedLayout[]];
}
