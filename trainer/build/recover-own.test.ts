/** Joint recovery of levels that own some tensors, on the digits model and a few steps. */
import { beforeAll, expect, test } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import { need } from '../recovery/plan.ts';
import { trialSteps } from './begin-own.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import { buildLevels, holdoutLoss } from './level-stage.ts';
import { silentProgress } from './progress.ts';
import {
  type OwnRecoveryRequest,
  type OwnRecoveryState,
  ownRecoveryStateSchema,
  recoverOwn,
} from './recover-own.ts';
import { digitsOptions, orderedDigits } from './recovery.fixture.ts';

const options = digitsOptions;
let calibrated: CalibratedModel;
let order: number[][];
let widths: number[][];

beforeAll(async () => {
  ({ calibrated, order } = await orderedDigits());
  widths = [0.15, 0.5, 1].map((share) =>
    calibrated.model.pairs.map(({ units }) => Math.max(1, Math.round(share * units))),
  );
});

/** The sparsest level owns all, the two others share matrices. */
const draw = { always: 1, between: 1 };

const loss = (graph: Graph) => holdoutLoss(graph, calibrated.pool, calibrated.holdoutTeacher, 1);

/** What a run that is stopped after so many steps keeps, as a file would hold it. */
async function keptAfter(
  steps: number,
  asked: Omit<OwnRecoveryRequest, 'memory'>,
): Promise<OwnRecoveryState> {
  const stop = new AbortController();
  let kept: OwnRecoveryState | undefined;
  const watched = {
    ...silentProgress,
    stage: (name: string) => ({
      update: (done: number) => {
        if (name === 'recover' && done === steps) stop.abort();
      },
      finish: () => {},
    }),
  };
  const memory = {
    state: undefined,
    save: async (state: OwnRecoveryState) => {
      kept = structuredClone(state);
    },
  };
  const interrupted = recoverOwn({ ...asked, memory, progress: watched, signal: stop.signal });
  await expect(interrupted).rejects.toMatchObject({ code: 'interrupted' });
  expect(kept?.step).toBe(steps);
  return ownRecoveryStateSchema.parse(kept);
}

test('levels start from compensation and get nearer to the dense model; a run goes on bit for bit', async () => {
  const plan = { draw, steps: 24, rate: 0.003, widths, train: 'all' as const };
  const asked = { calibrated, order, plan, options, progress: silentProgress };
  const forgetful = { state: undefined, save: async () => {} };
  const whole = await recoverOwn({ ...asked, memory: forgetful });
  const compensated = await buildLevels(calibrated, order, widths, { compensate: true }, silentProgress);
  expect(await loss(whole.levels[0]!.cut)).toBeLessThan(0.95 * (await loss(compensated[0]!.cut)));
  expect(await loss(whole.levels[1]!.cut)).toBeLessThan(0.25 * (await loss(whole.levels[0]!.cut)));
  const matrix = (level: number, place: number) =>
    whole.levels[level]!.cut.initializers.get(calibrated.model.pairs[0]!.producers[place]!.weight.tensor)!;
  expect(whole.names[0]).toContain(calibrated.model.pairs[0]!.producers[0]!.weight.tensor);
  expect(whole.names[1]).not.toContain(calibrated.model.pairs[0]!.producers[0]!.weight.tensor);
  expect(matrix(0, 0).data[0]).not.toBe(matrix(2, 0).data[0]);
  expect(matrix(1, 0).data[0]).toBe(matrix(2, 0).data[0]);
  expect(await loss(whole.levels[2]!.cut)).toBeLessThan(1e-6);
  expect(whole.levels.map(({ keep }) => keep.map((units) => units.length))).toEqual(widths);

  const resumed = await recoverOwn({ ...asked, memory: { ...forgetful, state: await keptAfter(5, asked) } });
  for (const [level, { cut }] of whole.levels.entries())
    for (const [name, { data }] of cut.initializers)
      expect(resumed.levels[level]!.cut.initializers.get(name)?.data, name).toEqual(data);
});

/** Best units last, which compensation cannot make up for, and the other way round. */
const worst = () =>
  order.map((units, p) => (calibrated.model.pairs[p]!.kind === 'sequential' ? units : units.toReversed()));

test('a level that owns all goes on from the beginning that trains better', async () => {
  const plan = { draw, steps: 16, rate: 0.003, widths, train: 'all' as const };
  const forgetful = { state: undefined, save: async () => {} };
  const asked = { calibrated, plan, options, memory: forgetful, progress: silentProgress };
  const run = async (first: number[][], searched?: number[][]) => {
    const { levels } = await recoverOwn({ ...asked, order: first, ...(searched ? { searched } : {}) });
    return { sparsest: await loss(levels[0]!.cut) };
  };
  const bad = await run(worst());
  const both = await run(worst(), order);
  expect(both.sparsest).toBeLessThan(0.8 * bad.sparsest);
  const good = await run(order);
  const other = await run(order, worst());
  expect(other.sparsest).toBeLessThan(1.1 * good.sparsest);
});

test('a run that is interrupted while two beginnings are tried goes on bit for bit', async () => {
  const plan = { draw, steps: 16, rate: 0.003, widths, train: 'all' as const };
  const asked = { calibrated, order: worst(), searched: order, plan, options, progress: silentProgress };
  const forgetful = { state: undefined, save: async () => {} };
  const whole = await recoverOwn({ ...asked, memory: forgetful });
  const kept = await keptAfter(2, asked);
  expect(kept.step).toBeLessThan(trialSteps(kept.steps));
  expect(kept.rivals.filter((rival) => rival !== undefined)).toHaveLength(1);
  const resumed = await recoverOwn({ ...asked, memory: { ...forgetful, state: kept } });
  for (const [level, { cut }] of whole.levels.entries())
    for (const [name, { data }] of cut.initializers)
      expect(resumed.levels[level]!.cut.initializers.get(name)?.data, name).toEqual(data);
});

test('a level that steps too large throw away is as compensation leaves it, and that is said', async () => {
  const plan = { draw, steps: 6, rate: 0.5, widths, train: 'all' as const };
  const memory = { state: undefined, save: async () => {} };
  const notes: string[] = [];
  const progress = { ...silentProgress, note: (text: string) => notes.push(text) };
  const { levels } = await recoverOwn({ calibrated, order, plan, options, memory, progress });
  const compensated = await buildLevels(calibrated, order, widths, { compensate: true }, silentProgress);
  expect(levels).toHaveLength(widths.length);
  for (const [level, { cut }] of levels.entries())
    expect(await loss(cut)).toBeCloseTo(await loss(compensated[level]!.cut), 6);
  expect(notes).toContainEqual(expect.stringMatching(/level 0 is as compensation leaves it.*--recover-rate/));
});

test('levels that begin near the dense model take fewer steps', async () => {
  const near = [[...widths[1]!.map((width) => Math.ceil(0.8 * width))], widths[2]!];
  const plan = { draw, rate: 0.003, steps: 10, byNeed: true, widths: near, train: 'all' as const };
  const memory = { state: undefined, save: async () => {} };
  const asked = { calibrated, order, options, memory, progress: silentProgress };
  const { steps, levels } = await recoverOwn({ ...asked, plan });
  const [compensated] = await buildLevels(calibrated, order, near, { compensate: true }, silentProgress);
  expect(compensated!.loss).toBeCloseTo(await loss(compensated!.cut), 6);
  expect(steps).toBe(Math.ceil(10 * need([compensated!.loss!])));
  expect(steps).toBeLessThan(10);
  expect(steps).toBeGreaterThan(0);
  expect(levels).toHaveLength(2);
});

test('who begins as near as no test split could tell is not trained', async () => {
  const near = [[...widths[1]!.map((width) => Math.ceil(1.9 * width))], widths[2]!];
  const plan = { draw, rate: 0.003, steps: 10, widths: near, train: 'all' as const };
  const memory = { state: undefined, save: async () => {} };
  const { steps, levels } = await recoverOwn({
    calibrated,
    order,
    plan,
    options,
    memory,
    progress: silentProgress,
  });
  const compensated = await buildLevels(calibrated, order, near, { compensate: true }, silentProgress);
  expect(steps).toBe(0);
  expect(levels).toHaveLength(near.length);
  for (const [level, { cut }] of levels.entries())
    expect(await loss(cut)).toBeCloseTo(await loss(compensated[level]!.cut), 9);
});

test('of no steps, levels are what compensation makes of them', async () => {
  const plan = { draw, steps: 0, rate: 0.003, widths, train: 'pairs' as const };
  const memory = { state: undefined, save: async () => {} };
  const { levels } = await recoverOwn({ calibrated, order, plan, options, memory, progress: silentProgress });
  const compensated = await buildLevels(calibrated, order, widths, { compensate: true }, silentProgress);
  for (const [level, { cut }] of compensated.entries())
    expect(await loss(levels[level]!.cut)).toBeCloseTo(await loss(cut), 5);
});

test('of vectors alone, each level has its own, matrices stay the model’s, and the dense level what it was', async () => {
  const plan = { draw, steps: 12, rate: 0.01, widths, train: 'vectors' as const };
  const memory = { state: undefined, save: async () => {} };
  const { levels, names } = await recoverOwn({
    calibrated,
    order,
    plan,
    options,
    memory,
    progress: silentProgress,
  });
  const cut = await buildLevels(calibrated, order, widths, { compensate: false }, silentProgress);
  expect(await loss(levels[0]!.cut)).toBeLessThan(0.95 * (await loss(cut[0]!.cut)));
  expect(await loss(levels[2]!.cut)).toBeLessThan(1e-3);
  const lengths = names[1]!.map((name) => calibrated.model.graph.initializers.get(name)!.dims);
  expect(lengths.every((dims) => dims.filter((length) => length > 1).length === 1)).toBe(true);
  const [first] = calibrated.model.pairs[0]!.producers;
  const weightOf = (graph: Graph) => graph.initializers.get(first!.weight.tensor)!.data;
  expect(weightOf(levels[2]!.cut)).toEqual(weightOf(cut[2]!.cut));
});
