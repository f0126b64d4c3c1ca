/** The ways of choosing what to keep that are compared, each from a subject to the models of its levels. */
import {
  activationWeightOrder,
  curvatureOrder,
  magnitudeOrder,
  outputEnergyOrder,
  principalTaylorOrder,
  randomOrder,
} from '../../trainer/baselines/orders.ts';
import { compensateScores } from '../../trainer/baselines/score-compensation.ts';
import { buildLevels, keepAt, type LevelModel } from '../../trainer/build/level-stage.ts';
import { forgetful, recover } from '../../trainer/build/recover-stage.ts';
import { compensateLevel } from '../../trainer/compensation/compensate-level.ts';
import { compensatedOrder } from '../../trainer/compensation/compensated-order.ts';
import type { Graph } from '../../trainer/graph/graph.ts';
import { cutGraph } from '../../trainer/pairs/cut.ts';
import { allocateLevels } from '../../trainer/search/allocate.ts';
import { indexUnits, orderByPair } from '../../trainer/search/units.ts';
import { weightsOf } from '../../trainer/weights/linear-weights.ts';
import { singleSteps } from './costs.ts';
import type { Basis, Subject } from './subject.ts';

export interface Method {
  readonly label: string;
  /** How gradients change weights: all levels in one run, or each apart with a joint run's budget altogether or each; absent, methods only choose, turn and solve in closed form. */
  readonly training?: 'joint' | 'total' | 'each';
  readonly ours?: true;
  /** Raised when the method's numbers change, so that kept results are measured again; 1 when absent. */
  readonly revision?: number;
  /** Whether what it gives follows from moments of activations, as rotation, compensation and all that begins with them do. */
  readonly statistics?: true;
  readonly make:
    | { levels(subject: Subject): Promise<LevelModel[]> }
    /** Of pruned levels that are made apart: each is measured and kept before the next one is made. */
    | { level(subject: Subject, place: number): Promise<LevelModel> };
}

/** One-shot methods have one damping. */
const ONE_SHOT_DAMPING = 1e-3;

export const methods = {
  random: ordered('random', 'own', async ({ prepared, options }) =>
    randomOrder(prepared.pairs, options.seed),
  ),
  magnitude: ordered('magnitude', 'own', async ({ prepared }) =>
    magnitudeOrder(prepared.graph, prepared.pairs),
  ),
  fisher: ordered('Fisher', 'own', async (subject) =>
    curvatureOrder(subject.prepared.pairs, await subject.curvature('own')),
  ),
  'activation-weight': {
    ...ordered('activation x weight', 'own', async (subject) =>
      activationWeightOrder(subject.prepared.graph, subject.prepared.pairs, await subject.moments()),
    ),
    statistics: true,
  },
  'pca-taylor': ordered('PCA + Taylor', 'rotated', async (subject) =>
    principalTaylorOrder(subject.prepared.pairs, await subject.curvature('rotated')),
  ),
  published: ordered("paper's form", 'own', (subject) => subject.order('published')),
  'one-shot': { label: 'one-shot comp.', statistics: true, make: { levels: oneShotLevels } },
  ours: {
    ...ordered('ours', 'rotated', (subject) => subject.order('inclusion')),
    ours: true,
    revision: 3,
  },
  'ours-compensated': {
    ...ordered('ours comp.', 'rotated', (subject) => subject.order('inclusion'), true),
    ours: true,
    revision: 7,
  },
  'ours-recovered': {
    label: 'ours joint',
    training: 'joint',
    ours: true,
    revision: 3,
    statistics: true,
    make: { levels: (subject) => jointLevels(subject, false) },
  },
  'ours-recovered-refit': {
    label: 'ours joint own',
    training: 'joint',
    ours: true,
    revision: 12,
    statistics: true,
    make: { levels: (subject) => jointLevels(subject, true) },
  },
  'tuned-total': {
    label: 'single, total budget',
    training: 'total',
    revision: 5,
    statistics: true,
    make: { level: (subject, place) => singleLevel(subject, 'total', place) },
  },
  'tuned-each': {
    label: 'single, same budget',
    training: 'each',
    revision: 3,
    statistics: true,
    make: { level: (subject, place) => singleLevel(subject, 'each', place) },
  },
} as const satisfies Record<string, Method>;

export type MethodName = keyof typeof methods;

export function revisionOf(name: MethodName): number {
  const method: Method = methods[name];
  return method.revision ?? 1;
}

function ordered(
  label: string,
  basis: Basis,
  order: (subject: Subject) => Promise<number[]>,
  compensate = false,
): Method {
  return {
    label,
    ...(basis === 'rotated' || compensate ? { statistics: true } : {}),
    make: {
      async levels(subject) {
        const flat = await order(subject);
        const calibrated = await subject.calibrated(basis);
        const found = orderByPair(indexUnits(subject.prepared.pairs), flat);
        const byPair = compensate
          ? await compensatedOrder(calibrated.model, calibrated.moments, found)
          : found;
        return buildLevels(calibrated, byPair, widthsOf(subject, flat), { compensate }, subject.progress);
      },
    },
  };
}

/** Kept units by pair of every level, sparsest first. */
export function widthsOf({ prepared, shares }: Subject, order: readonly number[]): number[][] {
  return allocateLevels(prepared.pairs, order, prepared, shares);
}

async function oneShotLevels(subject: Subject): Promise<LevelModel[]> {
  const { pairs, graph } = subject.prepared;
  const moments = await subject.moments();
  const flat = outputEnergyOrder(graph, pairs, moments);
  const byPair = orderByPair(indexUnits(pairs), flat);
  return widthsOf(subject, flat).map((row): LevelModel => {
    const keep = keepAt(byPair, row);
    const linear = compensateLevel(graph, pairs, moments, keep, ONE_SHOT_DAMPING);
    const weights = weightsOf(linear);
    for (const [p, pair] of pairs.entries()) {
      const kept = keep[p] ?? [];
      if (pair.kind === 'query-key' && kept.length < pair.units)
        compensateScores(weights, pair, moments, kept, ONE_SHOT_DAMPING);
    }
    const full: Graph = { ...linear, initializers: weights };
    return { cut: cutGraph({ ...subject.prepared, graph: full }, keep), keep, refitted: true };
  });
}

/** One recovery for all levels: a nested set, or with output matrices and vectors of each level's own. */
async function jointLevels(subject: Subject, own: boolean): Promise<LevelModel[]> {
  const { prepared, progress } = subject;
  const order = await subject.order('inclusion');
  const widths = widthsOf(subject, order);
  const inPlace = prepared.pairs.map(({ units }) => Array.from({ length: units }, (_, unit) => unit));
  const rotated = await subject.calibrated('rotated');
  if (!own) {
    const calibrated = { ...rotated, model: await subject.recovered() };
    return buildLevels(calibrated, inPlace, widths, { compensate: false }, progress);
  }
  const { model, levels } = await subject.recoveredOwn();
  const calibrated = { ...rotated, model };
  return buildLevels(calibrated, inPlace, widths, { compensate: true }, progress, undefined, levels);
}

/** The model as it is. */
export function denseLevel({ prepared: { pairs, graph } }: Subject): LevelModel {
  const keep = pairs.map(({ units }) => Array.from({ length: units }, (_, unit) => unit));
  return { cut: graph, keep, refitted: false };
}

/**
 * A level trained by itself from the same start: with the steps of the joint recovery (`each`), or so that all together cost
 * what it cost (`total`).
 */
async function singleLevel(subject: Subject, budget: 'total' | 'each', place: number): Promise<LevelModel> {
  const { prepared, progress, options, recoverySteps, plan, shares } = subject;
  const flat = await subject.order('inclusion');
  const widths = widthsOf(subject, flat);
  const order = orderByPair(indexUnits(prepared.pairs), flat);
  const steps = singleSteps(budget, { recoverySteps, draw: plan.draw, shares });
  const row = widths[place] as number[];
  const calibrated = await subject.calibrated('rotated');
  const model = await recover(
    calibrated,
    order,
    { ...plan, steps, widths: [row] },
    options,
    forgetful,
    progress,
  );
  const keep = row.map((width) => Array.from({ length: width }, (_, unit) => unit));
  return { cut: cutGraph(model, keep), keep, refitted: false };
}
