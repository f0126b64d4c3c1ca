/** Times steps of the search on a model in each way of spreading them over the cores. */
import { type LaneLayout, layoutsFor, type TimedLayout } from '../engine/lane-layout.ts';
import { createMaskEngine, type MaskEngine, type MaskStep } from '../engine/mask-engine.ts';
import type { TracedModel } from '../pairs/prepare.ts';

/** The first step makes the sessions. */
const WARM_UP = 2;
const FEWEST_ROUNDS = 4;
const MOST_ROUNDS = 12;
/** After which no further round begins. */
const ENOUGH_MS = 1500;

/**
 * Layouts take turns, and each has its fastest and its median step: what else the machine does meanwhile falls on all alike.
 * @returns in the order of `layoutsFor`
 */
export async function timeLayouts(
  { graph, pairs }: Pick<TracedModel, 'graph' | 'pairs'>,
  step: MaskStep,
  cores: number,
): Promise<[TimedLayout, ...TimedLayout[]]> {
  const tried: { readonly layout: LaneLayout; readonly engine: MaskEngine; readonly times: number[] }[] = [];
  try {
    for (const layout of layoutsFor(cores)) {
      const { workers, threads } = layout;
      const options = { graph, pairs, backend: 'onnxruntime', workers, workerThreads: threads } as const;
      tried.push({ layout, engine: await createMaskEngine(options), times: [] });
    }
    // Sessions are made side by side.
    await Promise.all(
      tried.map(async ({ engine }) => {
        for (let i = 0; i < WARM_UP; i++) await engine.step(step);
      }),
    );
    const began = performance.now();
    for (let round = 0; round < MOST_ROUNDS; round++) {
      if (round >= FEWEST_ROUNDS && performance.now() - began > ENOUGH_MS) break;
      for (const { engine, times } of round % 2 === 0 ? tried : tried.toReversed()) {
        const started = performance.now();
        await engine.step(step);
        times.push(performance.now() - started);
      }
    }
  } finally {
    await Promise.all(tried.map(({ engine }) => engine.close()));
  }
  return tried.map(({ layout, times }): TimedLayout => {
    const sorted = times.toSorted((a, b) => a - b);
    return {
      layout,
      stepMs: sorted[0] as number,
      typicalMs: sorted[Math.floor(sorted.length / 2)] as number,
    };
  }) as [TimedLayout, ...TimedLayout[]];
}
