/** One model with one seed: everything that methods share, computed when first asked for. */

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { SppError } from '../../schema/errors.ts';
import { answerGraph } from '../../trainer/build/answer.ts';
import { type CalibratedModel, calibrate, rotated } from '../../trainer/build/calibrate-model.ts';
import { measureMoments } from '../../trainer/build/calibration.ts';
import type { BuildOptions } from '../../trainer/build/options.ts';
import { stepsBehind } from '../../trainer/build/path-report.ts';
import type { Progress } from '../../trainer/build/progress.ts';
import { type RecoveredLevels, recoverOwn } from '../../trainer/build/recover-own.ts';
import { forgetful, recover } from '../../trainer/build/recover-stage.ts';
import { noMemory, searchPath } from '../../trainer/build/search-path.ts';
import { estimateCurvature, FISHER_BATCHES } from '../../trainer/build/search-stage.ts';
import { compensatedOrder } from '../../trainer/compensation/compensated-order.ts';
import { bindDataset } from '../../trainer/data/bind-dataset.ts';
import type { Dataset } from '../../trainer/data/dataset.ts';
import { createMaskEngine } from '../../trainer/engine/mask-engine.ts';
import type { PreparedModel } from '../../trainer/pairs/pair.ts';
import { countedFor, prepareModel, type TracedModel } from '../../trainer/pairs/prepare.ts';
import type { Draw } from '../../trainer/recovery/draw-levels.ts';
import { defaultRecovery, levelDraw, type RecoveryPlan } from '../../trainer/recovery/plan.ts';
import { computeThreads } from '../../trainer/runtime/compute.ts';
import { startSessionPool, weightBytes } from '../../trainer/runtime/session-pool.ts';
import { allocateLevels } from '../../trainer/search/allocate.ts';
import { pathOrder } from '../../trainer/search/inclusion.ts';
import { publishedForm } from '../../trainer/search/published-form.ts';
import { indexUnits, orderByPair } from '../../trainer/search/units.ts';
import type { Moments } from '../../trainer/statistics/activation-moments.ts';
import type { CostScene } from './costs.ts';
import type { BenchModel } from './models.ts';

export type Basis = 'own' | 'rotated';

export interface Subject {
  readonly name: string;
  readonly prepared: TracedModel;
  readonly dataset: Dataset;
  readonly options: BuildOptions;
  readonly progress: Progress;
  /** Shares of the dense FLOPs, ascending, the last one 1. */
  readonly shares: readonly number[];
  calibrated(basis: Basis): Promise<CalibratedModel>;
  curvature(basis: Basis): Promise<Float64Array>;
  /** Of the unrotated model: inputs and outputs of every linear in a pair. */
  moments(): Promise<ReadonlyMap<string, Moments>>;
  /** The inclusion's order on the rotated model, or the published form's on the model as it is. */
  order(form: SearchForm): Promise<number[]>;
  readonly recoverySteps: number;
  /** Of recovery, but for its widths. */
  readonly plan: Omit<RecoveryPlan, 'widths'>;
  /** What the methods cost is counted from. */
  costScene(): Promise<CostScene>;
  /** The rotated model in path order after joint recovery of all levels as one nested set. */
  recovered(): Promise<PreparedModel>;
  /** The levels after joint recovery, each with output matrices and vectors of its own. */
  recoveredOwn(): Promise<RecoveredLevels>;
}

/** Shares of the dense FLOPs that leave these shares of what pairs can give. */
function reachableShares(
  { pairs, flops }: Pick<TracedModel, 'pairs' | 'flops'>,
  reachable: readonly number[],
): number[] {
  const cuttable = pairs.reduce((sum, pair) => sum + pair.units * pair.flopsPerUnit, 0);
  return [...reachable, 1].toSorted((a, b) => a - b).map((share) => 1 - (1 - share) * (cuttable / flops));
}

/** How recovery is run; a build's own settings where nothing is said. */
export interface Recovery {
  readonly steps: number | 'auto';
  readonly rate?: number;
  readonly between?: number;
}

export interface SubjectRequest {
  readonly name: string;
  readonly model: BenchModel;
  readonly dataset: Dataset;
  readonly options: BuildOptions;
  readonly reachable: readonly number[];
  readonly recover: Recovery;
  readonly orders: OrderCache;
  readonly progress: Progress;
}

/** Orders that the search has found, kept so that processes which measure different methods do not search again. */
export interface OrderCache {
  read(form: SearchForm): Promise<number[] | undefined>;
  write(form: SearchForm, order: readonly number[]): Promise<void>;
}

export type SearchForm = 'inclusion' | 'published';

/** @throws `usage` when the model's file is not there */
async function preparedOf(model: BenchModel, dataset: Dataset): Promise<TracedModel> {
  const prepared = await prepareModel(await fileOf(model), basename(model.file));
  if (model.flopsOf === undefined) return prepared;
  return countedFor(prepared, await bindDataset(dataset, prepared.graph.inputs).train.feeds([0]));
}

/** @throws as `preparedOf` does */
export async function openSubject(request: SubjectRequest): Promise<Subject> {
  const { name, model, dataset, options, reachable, orders, progress } = request;
  const prepared = await preparedOf(model, dataset);
  const shares = reachableShares(prepared, reachable);
  const steps = stepsBehind(options, request.recover.steps, dataset.train.count, shares);
  const calibrated = memo(
    async (basis: Basis): Promise<CalibratedModel> =>
      basis === 'own'
        ? calibrate(prepared, dataset, { ...options, rotate: false }, progress)
        : rotated(await calibrated('own')),
  );
  let settled: Draw | undefined;
  const subject: Subject = {
    name,
    prepared,
    dataset,
    options,
    progress,
    shares,
    recoverySteps: steps,
    plan: {
      rate: request.recover.rate ?? defaultRecovery.rate,
      draw: levelDraw(shares, request.recover.between),
      steps,
      train: 'all',
    },
    async costScene() {
      const { pool } = await calibrated('own');
      const { length: examples } = pool.all;
      const { draw } = subject.plan;
      return { options, examples, pool: pool.indices.length, shares, recoverySteps: steps, draw, settled };
    },
    recovered: once(() => recoverAll(subject)),
    recoveredOwn: once(async () => {
      const recovered = await recoverAllOwn(subject);
      settled = recovered.draw;
      return recovered;
    }),
    calibrated,
    curvature: memo(async (basis: Basis) => curvatureOf(await calibrated(basis), options, progress)),
    moments: once(async () => {
      const { pool } = await calibrated('own');
      const linears = prepared.pairs.flatMap(({ producers, consumers }) => [...producers, ...consumers]);
      const tensors = [...new Set(linears.flatMap(({ input, output }) => [input, output]))];
      const stage = progress.stage('moments', 100);
      const sessions = startSessionPool(weightBytes(prepared.graph));
      const moments = await measureMoments(prepared.graph, tensors, pool, sessions, stage);
      await sessions.close();
      stage.finish();
      return moments;
    }),
    order: memo(async (form: SearchForm) => {
      const known = await orders.read(form);
      const order = known ?? (await found(form));
      if (known === undefined) await orders.write(form, order);
      return order;
    }),
  };
  return subject;

  async function found(form: SearchForm): Promise<number[]> {
    if (form === 'published') {
      return pathOrder(
        await searchPath(
          await calibrated('own'),
          {
            ...options,
            search: 'published',
            steps: publishedForm.steps,
            loss: publishedLoss(model, dataset),
          },
          progress,
        ),
      );
    }
    const memory = { ...noMemory, curvature: await subject.curvature('rotated') };
    return pathOrder(await searchPath(await calibrated('rotated'), options, progress, memory));
  }
}

/** The task's own, where it has one: labels beside embeddings are those of a probe. */
export function publishedLoss(
  { task }: Pick<BenchModel, 'task'>,
  { targets }: Pick<Dataset, 'targets'>,
): 'cross-entropy' | 'distil' {
  return targets !== undefined && task !== 'embedding' ? 'cross-entropy' : 'distil';
}

async function fileOf({ file }: BenchModel): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new SppError('usage', `There is no model ${file}.`, {
      hint: 'scripts/bench-path/README.md says where each model comes from.',
      cause,
    });
  }
}

async function recoverAll(subject: Subject): Promise<PreparedModel> {
  const { prepared, shares, options, progress } = subject;
  const order = await subject.order('inclusion');
  const widths = allocateLevels(prepared.pairs, order, prepared, shares);
  const plan = { ...subject.plan, widths };
  const byPair = orderByPair(indexUnits(prepared.pairs), order);
  const calibrated = await subject.calibrated('rotated');
  return recover(calibrated, byPair, plan, options, forgetful, progress);
}

async function recoverAllOwn(subject: Subject): Promise<RecoveredLevels> {
  const { prepared, shares, options, progress } = subject;
  const flat = await subject.order('inclusion');
  const widths = allocateLevels(prepared.pairs, flat, prepared, shares);
  const plan = { ...subject.plan, widths };
  const calibrated = await subject.calibrated('rotated');
  const found = orderByPair(indexUnits(prepared.pairs), flat);
  const order = await compensatedOrder(calibrated.model, calibrated.moments, found);
  const memory = { state: undefined, save: async () => {} };
  return recoverOwn({ calibrated, order, searched: found, plan, options, memory, progress });
}

async function curvatureOf(
  { model, pool, teacher }: CalibratedModel,
  options: BuildOptions,
  progress: Progress,
): Promise<Float64Array> {
  const engine = await createMaskEngine({
    graph: answerGraph(model.graph, pool.task),
    pairs: model.pairs,
    backend: options.backend,
    workers: options.workers ?? Math.min(8, computeThreads()),
  });
  try {
    const { batch, seed } = options;
    const stage = progress.stage('Fisher', FISHER_BATCHES);
    const context = { engine, pairs: model.pairs, pool, teacher, batch, loss: 'distil' as const, seed };
    const curvature = await estimateCurvature(context, stage);
    stage.finish();
    return curvature;
  } finally {
    await engine.close();
  }
}

function memo<Key, Value>(make: (key: Key) => Promise<Value>): (key: Key) => Promise<Value> {
  const made = new Map<Key, Promise<Value>>();
  return (key) => {
    const known = made.get(key) ?? make(key);
    made.set(key, known);
    return known;
  };
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  const made = memo(make);
  return () => made(undefined);
}
