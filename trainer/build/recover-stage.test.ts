/** Refitting and joint recovery on the digits model: what they promise, on a few steps. */
import { beforeAll, expect, test } from 'vitest';
import { cutGraph } from '../pairs/cut.ts';
import { defaultRecovery } from '../recovery/plan.ts';
import { allocateLevels } from '../search/allocate.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import { buildLevels, holdoutLoss } from './level-stage.ts';
import { silentProgress } from './progress.ts';
import { forgetful, type RecoveryState, recover } from './recover-stage.ts';
import { digitsOptions, orderedDigits } from './recovery.fixture.ts';

const options = digitsOptions;
let calibrated: CalibratedModel;
let order: number[][];
let widths: number[][];

beforeAll(async () => {
  ({ calibrated, order } = await orderedDigits());
  const prepared = calibrated.model;
  const shares = [0.2, 0.5, 1];
  const ranked = prepared.pairs.flatMap(({ units }, p) =>
    (order[p] ?? []).map((unit, place) => [unit, p, (place + 0.5) / units] as const),
  );
  const offsets = prepared.pairs.map((_, p) =>
    prepared.pairs.slice(0, p).reduce((sum, { units }) => sum + units, 0),
  );
  const flat = ranked.toSorted((a, b) => a[2] - b[2]).map(([unit, p]) => (offsets[p] ?? 0) + unit);
  widths = allocateLevels(prepared.pairs, flat, prepared, shares);
});

test('a refitted level is nearer to the dense model on examples that nothing was fitted on', async () => {
  const levels = (compensate: boolean) =>
    buildLevels(calibrated, order, widths, { compensate }, silentProgress);
  const [plain, refitted] = [await levels(false), await levels(true)];
  const loss = (graph: CalibratedModel['dense']) =>
    holdoutLoss(graph, calibrated.pool, calibrated.holdoutTeacher, 1);
  for (const level of [0, 1]) {
    const [before, after] = [await loss(plain[level]!.cut), await loss(refitted[level]!.cut)];
    expect(after).toBeLessThan(0.5 * before);
  }
  expect(refitted.map((level) => level.refitted)).toEqual([true, true, false]);
});

test('joint recovery improves its sparse levels, and goes on bit for bit after an interruption', async () => {
  const plan = {
    draw: { always: 1, between: 2 },
    rate: defaultRecovery.rate,
    steps: 12,
    widths,
    train: 'all' as const,
  };
  const whole = await recover(calibrated, order, plan, options, forgetful, silentProgress);
  const inPlace = order.map((units) => units.map((_, place) => place));
  const at = (model: typeof whole, level: number) =>
    cutGraph(
      model,
      inPlace.map((units, p) => units.slice(0, widths[level]?.[p])),
    );
  const loss = (graph: CalibratedModel['dense']) =>
    holdoutLoss(graph, calibrated.pool, calibrated.holdoutTeacher, 1);
  const untrained = cutGraph(
    calibrated.model,
    order.map((units, p) => units.slice(0, widths[0]?.[p])),
  );
  expect(await loss(at(whole, 0))).toBeLessThan(0.9 * (await loss(untrained)));

  const stop = new AbortController();
  let kept: RecoveryState | undefined;
  const watched = {
    ...silentProgress,
    stage: () => ({
      update: (done: number) => {
        if (done === 5) stop.abort();
      },
      finish: () => {},
    }),
  };
  const memory = {
    state: undefined,
    save: async (state: RecoveryState) => {
      kept = structuredClone(state);
    },
  };
  const interrupted = recover(calibrated, order, plan, options, memory, watched, stop.signal);
  await expect(interrupted).rejects.toMatchObject({ code: 'interrupted' });
  expect(kept?.step).toBe(5);
  const resumed = await recover(calibrated, order, plan, options, { ...memory, state: kept }, silentProgress);
  for (const [name, tensor] of whole.graph.initializers)
    expect(resumed.graph.initializers.get(name)?.data, name).toEqual(tensor.data);
});
