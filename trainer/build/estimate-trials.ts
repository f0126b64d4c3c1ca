/** What a build's work takes on this machine, timed on a few examples: passes of levels, steps of the engines, one level's refit. */
import { leanForward } from '../autodiff/lean-forward.ts';
import { privateBiases } from '../compensation/compensate-level.ts';
import type { Tensors } from '../data/dataset.ts';
import { createMaskEngine } from '../engine/mask-engine.ts';
import { elementCount, type Graph } from '../graph/graph.ts';
import { discardModel, ortModel } from '../graph/ort-model.ts';
import { cutGraph } from '../pairs/cut.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { adamStart, adamStep, stepSizes } from '../recovery/adam.ts';
import type { RecoveryPlan } from '../recovery/plan.ts';
import { computeThreads } from '../runtime/compute.ts';
import type { PooledSession, SessionPool } from '../runtime/session-pool.ts';
import { answerGraph } from './answer.ts';
import { pooledBlock } from './answers.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import { denseStreams, refitSites, type Site } from './dense-streams.ts';
import { silentProgress } from './progress.ts';
import { type RecoveryEngineOptions, recoveryEngine } from './recovery-engine.ts';
import { refitLevel } from './refit-level.ts';

/** Runs of a trial at least and, of short ones, at most: they settle as code is compiled, so that the middle one of the second half counts. */
const RUNS = { least: 4, most: 30 } as const;
/** A trial of several short runs takes as long at most, in ms. */
const LONG_ENOUGH = 1000;

/** Of a level with so large a share of the FLOPs: `fixed + slope · share`. */
export interface LinearCost {
  readonly fixed: number;
  readonly slope: number;
}

/** What trials work on: a path before there is one, every pair's units in their own order and cut alike. */
export interface TrialScene {
  readonly calibrated: CalibratedModel;
  /** Kept units by pair, by level, sparsest first, the last one dense. */
  readonly widths: readonly (readonly number[])[];
  readonly shares: readonly number[];
  readonly sessions: SessionPool;
  /** In ms. */
  readonly now: () => number;
}

/** A level of the scene as it is cut. */
function levelGraph(model: PreparedModel, row: readonly number[]): Graph {
  return cutGraph(
    model,
    row.map((width) => Array.from({ length: width }, (_, unit) => unit)),
  );
}

/** Seconds that an example takes in a block as large as builds use, all threads at it. */
export async function examplePass(scene: TrialScene): Promise<LinearCost> {
  const { pool } = scene.calibrated;
  const block = Math.min(pooledBlock(pool.block, scene.sessions), pool.indices.length);
  const together = await passes(scene, block, (session, feeds) => session.time(feeds));
  return scaled(together, 1 / (block * scene.sessions.size));
}

/** Seconds that a run of so many examples takes where nothing else runs. */
export function runAlone(scene: TrialScene, examples: number): Promise<LinearCost> {
  return passes(scene, examples, (session, feeds) => timed(scene.now, () => session.run(feeds))());
}

/** @param measure in ms */
function passes(
  scene: TrialScene,
  examples: number,
  measure: (session: PooledSession, feeds: Tensors) => Promise<number>,
): Promise<LinearCost> {
  const { calibrated, sessions } = scene;
  const { model, pool } = calibrated;
  return betweenEnds(scene, async (row) => {
    const graph = await leanForward(answerGraph(levelGraph(model, row), pool.task));
    const level = ortModel(graph);
    const session = await sessions.open(level);
    try {
      const places = Array.from({ length: examples }, (_, i) => i % pool.indices.length);
      const feeds = await pool.data.train.feeds(places.map((place) => pool.indices[place] as number));
      return await middleOf(() => measure(session, feeds));
    } finally {
      await session.close();
      discardModel(level);
    }
  });
}

type Engines = RecoveryEngineOptions & { readonly batch: number };

/** Seconds of a step of the search. */
export async function searchStep({ calibrated, now }: TrialScene, options: Engines): Promise<number> {
  const { model, pool } = calibrated;
  const graph = answerGraph(model.graph, pool.task);
  const { workers = computeThreads(), workerThreads = 1, ...rest } = options;
  const engine = await createMaskEngine({ ...rest, graph, pairs: model.pairs, workers, workerThreads });
  try {
    const masks = model.pairs.map(({ units }) => new Float32Array(units).fill(1));
    const step = { ...(await batchOf(calibrated, options.batch)), masks };
    return (await middleOf(timed(now, () => engine.step(step)))) / 1000;
  } finally {
    await engine.close();
  }
}

/** Seconds that a level takes in a step of recovery, its move included. */
export async function recoveryStep(
  scene: TrialScene,
  names: readonly string[],
  train: RecoveryPlan['train'],
  options: Engines,
): Promise<LinearCost> {
  const { calibrated, now } = scene;
  const { model } = calibrated;
  const engine = await recoveryEngine(model, calibrated, { train }, names, options, silentProgress);
  try {
    const batch = await batchOf(calibrated, options.batch);
    const sizes = stepSizes(engine.weights);
    let state = adamStart(engine.weights);
    return await betweenEnds(scene, (row) => {
      const masks = model.pairs.map(({ units }, p) =>
        Float32Array.from({ length: units }, (_, unit) => (unit < (row[p] ?? units) ? 1 : 0)),
      );
      const at = train === 'vectors' ? { masks } : { widths: row };
      return middleOf(
        timed(now, async () => {
          const { weights } = await engine.step({ ...batch, ...at });
          // At rate 0 nothing moves, and it takes as long.
          state = adamStep(engine.weights, weights, sizes, state, 0);
        }),
      );
    });
  } finally {
    await engine.close();
  }
}

export interface RefitCost {
  /** Seconds for the dense model's streams, once. */
  readonly streams: number;
  /** Seconds for a level of a middle size, while another one is refitted beside it. */
  readonly level: number;
  /** Of all streams, held until the end. */
  readonly bytes: number;
}

/** Refits two levels at once, as builds do, on one matrix of each size; all matrices take as much longer as there are more of them. */
export async function refitCost({ calibrated, widths, sessions, now }: TrialScene): Promise<RefitCost> {
  const { model, pool } = calibrated;
  const sites = refitSites(model);
  if (sites.length === 0) return { streams: 0, level: 0, bytes: 0 };
  const chosen = onePerSize(model, sites);
  const targets = await denseStreams(model, chosen, pool, computeThreads());
  const streams = await timed(now, () => denseStreams(model, chosen, pool, computeThreads()))();
  const middle = levelGraph(model, widths[Math.floor((widths.length - 1) / 2)] ?? []);
  const biases = privateBiases(model.pairs);
  const both = await timed(now, () =>
    Promise.all([0, 1].map(() => refitLevel(middle, biases, targets, sessions))),
  )();
  const more = sites.length / chosen.length;
  const bytes = targets.blocks
    .flatMap(({ targets: each }) => each)
    .reduce((sum, { data }) => sum + data.byteLength, 0);
  return { streams: streams / 1000, level: (more * both) / 2000, bytes: more * bytes };
}

/** Sites whose matrices have the same size take as long. */
function onePerSize({ graph }: PreparedModel, sites: readonly Site[]): Site[] {
  const bySize = new Map(
    sites.map((site) => [graph.initializers.get(site.consumer.weight.tensor)?.dims.join(), site]),
  );
  const chosen = new Set(bySize.values());
  return sites.filter((site) => chosen.has(site));
}

/** A batch as steps get them. */
async function batchOf({ pool, teacher }: CalibratedModel, batch: number) {
  // Trials know fewer examples than a batch may have.
  const known = pool.indices.slice(0, TRIAL_EXAMPLES);
  const places = Array.from({ length: batch }, (_, i) => i % known.length);
  return {
    feeds: await pool.data.train.feeds(places.map((place) => known[place] as number)),
    loss: { kind: pool.task.loss, output: pool.output, teacher: await teacher.rows(places) },
  };
}

/** That the dense model has answered for trials. */
export const TRIAL_EXAMPLES = 64;

/** Along the line between the sparsest level and the dense one. @param measure in ms */
async function betweenEnds(
  { widths, shares }: TrialScene,
  measure: (row: readonly number[]) => Promise<number>,
): Promise<LinearCost> {
  const dense = (await measure(widths.at(-1) ?? [])) / 1000;
  const sparsest = (await measure(widths[0] ?? [])) / 1000;
  const slope = Math.max(0, (dense - sparsest) / Math.max(1e-9, 1 - (shares[0] ?? 0)));
  return { fixed: dense - slope, slope };
}

function scaled({ fixed, slope }: LinearCost, factor: number): LinearCost {
  return { fixed: factor * fixed, slope: factor * slope };
}

/** @returns ms */
async function middleOf(run: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  let spent = 0;
  while (times.length < RUNS.least || (times.length < RUNS.most && spent < LONG_ENOUGH)) {
    const ms = await run();
    times.push(ms);
    spent += ms;
  }
  const settled = times.slice(Math.floor(times.length / 2)).toSorted((a, b) => a - b);
  return settled[Math.floor(settled.length / 2)] ?? 0;
}

/** @returns ms */
function timed(now: () => number, work: () => Promise<unknown>): () => Promise<number> {
  return async () => {
    const from = now();
    await work();
    return now() - from;
  };
}

/** What an example's inputs take. */
export async function feedBytes({ pool }: Pick<CalibratedModel, 'pool'>): Promise<number> {
  const feeds = await pool.data.train.feeds(pool.indices.slice(0, 1));
  return Object.values(feeds).reduce((sum, { dims }) => sum + 4 * elementCount(dims), 0);
}
