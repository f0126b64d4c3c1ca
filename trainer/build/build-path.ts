/**
 * The offline job from model file to path artifact, stage by stage:
 * prepare -> calibrate -> rotate -> curvature -> search -> cut and compensate levels -> measure -> write.
 * Each stage's result is a plain value; the expensive ones are checkpointed, the rest follow from them exactly.
 */

import { basename } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import { z } from 'zod';
import { writeArtifact } from '../../schema/artifact/write.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { type PathLevel, pathArtifact } from '../artifact/path-artifact.ts';
import { compensatedOrder } from '../compensation/compensated-order.ts';
import { type BoundDataset, bindDataset } from '../data/bind-dataset.ts';
import type { Dataset } from '../data/dataset.ts';
import { limitEventsSchema, limitLog } from '../engine/memory-limits.ts';
import { modelDigest } from '../graph/model-digest.ts';
import { readOnnxFile } from '../graph/onnx-load.ts';
import { beatenText, droppedText, frontier } from '../measure/frontier.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { writeReportData } from '../report/report-data.ts';
import { writeReport } from '../report/write-report.ts';
import { alignWidths, allocateLevels } from '../search/allocate.ts';
import { pathOrder } from '../search/inclusion.ts';
import { indexUnits, orderByPair } from '../search/units.ts';
import { type CalibratedModel, calibrate } from './calibrate-model.ts';
import { Checkpoint, float64Array } from './checkpoint.ts';
import { alignmentOf } from './choose-alignment.ts';
import { levelShares, roundedNotes, withoutRepeats } from './level-shares.ts';
import { buildLevels, ownTensors } from './level-stage.ts';
import { measureLevels } from './measure-levels.ts';
import type { BuildOptions } from './options.ts';
import { epochsByStage, reportData, type TimedProgress, timedProgress } from './path-report.ts';
import { planBuild } from './plan-build.ts';
import type { Progress } from './progress.ts';
import { recoverPath, recoveryPlan } from './recover-path.ts';
import { begin, fingerprintsOf, refuseToOverwrite, SECONDS, savedRun } from './run-identity.ts';
import { type SearchMemory, searchPath, searchSettings } from './search-path.ts';
import { inclusionStateSchema, throwIfAborted } from './search-stage.ts';

export interface BuildRequest {
  readonly modelPath: string;
  readonly dataset: Dataset;
  /** Directory that becomes the artifact. */
  readonly out: string;
  readonly options: BuildOptions;
  readonly resume: boolean;
  /** Throw away what an earlier build left in `out`. */
  readonly force: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** Builds the artifact. @returns its manifest */
export async function buildPath(request: BuildRequest): Promise<Manifest> {
  const { options, dataset, out } = request;
  const progress = timedProgress(request.progress);
  const checkpoint = new Checkpoint(out);
  await refuseToOverwrite(request, checkpoint);

  const stage = progress.stage('prepare', 1);
  const prepared = await preparePairs(readOnnxFile(request.modelPath), basename(request.modelPath));
  // Data that does not fit must be said before a checkpoint is begun.
  bindDataset(dataset, prepared.graph.inputs);
  stage.finish({ pairs: prepared.pairs.length });

  const sourceSha256 = await modelDigest(request.modelPath);
  const fingerprints = fingerprintsOf(sourceSha256, dataset, options);
  const saved = await savedRun(request, checkpoint, fingerprints);
  const calibrated = await calibrate(prepared, dataset, options, progress);
  try {
    throwIfAborted(request.signal);
    // Options that do not fit the model are refused by now: nothing is left behind that the right ones would have to be forced over.
    const run = saved ?? (await begin(request, prepared, checkpoint, fingerprints));
    progress.add((await checkpoint.read(SECONDS, z.map(z.string(), z.number()))) ?? new Map());
    checkpoint.keepBeside(SECONDS, () => progress.seconds());
    const timed = { ...request, progress };
    const manifest = await writePath(timed, {
      calibrated,
      checkpoint,
      ...run,
      sourceSha256,
    });
    await checkpoint.remove();
    return manifest;
  } finally {
    await calibrated.teacher.close();
  }
}

interface TimedRequest extends BuildRequest {
  readonly progress: TimedProgress;
}

interface Run {
  readonly calibrated: CalibratedModel;
  readonly checkpoint: Checkpoint;
  readonly fingerprint: string;
  readonly workers: number;
  readonly workerThreads: number;
  readonly sourceSha256: string;
}

/** Everything behind calibration. */
async function writePath(request: TimedRequest, run: Run): Promise<Manifest> {
  const { options, out, progress } = request;
  const { calibrated, checkpoint } = run;
  const { model } = calibrated;
  const limits = limitLog((await checkpoint.read('limits', limitEventsSchema)) ?? [], (events) =>
    checkpoint.write('limits', events),
  );
  const memory: SearchMemory = {
    limits,
    curvature: await checkpoint.read('curvature', float64Array),
    state: await checkpoint.read('search', inclusionStateSchema),
    saveCurvature: (curvature) => checkpoint.write('curvature', curvature),
    saveState: (state) => checkpoint.write('search', state),
  };
  const memoryPlan = await planBuild(calibrated, { ...options, ...laneOptions(run) });
  for (const note of memoryPlan.notes) progress.note(note);
  const laned = { ...options, ...laneOptions(run), microBatch: memoryPlan.microBatch };
  const state = await searchPath(calibrated, laned, progress, memory, request.signal);
  const flat = pathOrder(state);
  const asked = levelShares(model, options);
  const allocated = allocateLevels(model.pairs, flat, model, asked.shares);
  const found = await orderOf(calibrated, flat, options, progress, request.signal);
  const aligned = await alignmentOf(
    options,
    { ...calibrated, order: found },
    allocated,
    checkpoint,
    progress,
  );
  const cut = withoutRepeats(alignWidths(model.pairs, allocated, aligned.multiple), asked.shares);
  const { widths, shares } = cut;
  const ofShares = [...asked.notes, ...cut.notes, ...roundedNotes(model, cut, aligned.multiple)];
  for (const note of ofShares) progress.note(note);
  const plan = recoveryPlan(options, memoryPlan.train, calibrated.pool.all.length, widths, shares);
  const { byLevel } = memoryPlan;
  const recovering = { ...request, options: laned, byLevel, checkpoint, limits };
  const path = await recoverPath(recovering, { ...calibrated, order: found }, plan);
  for (const note of path.notes ?? []) progress.note(note);
  // Levels that moved little are still as they were refitted.
  const compensate = options.compensate && path.recovered?.near !== true;
  const levels = await buildLevels(
    path,
    path.order,
    widths,
    { compensate },
    progress,
    request.signal,
    path.recovered?.levels,
  );
  const recoverTaken = path.recovered?.steps ?? plan.steps;
  const measured = await measureLevels(request, path, levels, widths, checkpoint);

  const best = frontier(measured);
  const kept = options.frontier ? best.kept : [...measured.keys()];
  const droppings = options.frontier
    ? best.dropped.map((each) => droppedText(each, measured))
    : [beatenText(best.dropped) ?? []].flat();
  for (const note of droppings) progress.note(note);
  const notes = [...memoryPlan.notes, ...ofShares, ...aligned.notes, ...(path.notes ?? []), ...droppings];

  const writing = progress.stage('write', 1);
  const refitted = options.compensate ? ownTensors(model, calibrated.pool) : [];
  const own = kept.map((level) => [...new Set([...(path.recovered?.names[level] ?? []), ...refitted])]);
  const {
    graph,
    weights,
    levels: artifactLevels,
    ...ports
  } = pathArtifact(
    path.model,
    path.order,
    kept.map((level) => measured[level] as PathLevel),
    own,
  );
  const decided = { align: aligned.multiple, recover: recoverTaken, recoverWeights: memoryPlan.train };
  const manifest = await writeArtifact(out, {
    header: { ...headerOf(request, run, decided), ...ports },
    graph,
    weights,
    levels: artifactLevels,
  });
  writing.finish({ levels: manifest.levels.length });
  const { all, indices } = calibrated.pool;
  const taken = { ...options, recover: recoverTaken };
  const epochs = epochsByStage(taken, { examples: all.length, pool: indices.length, shares });
  const index = indexUnits(model.pairs);
  const data = reportData(state, index, options.steps, progress, epochs, notes);
  await writeReportData(out, data);
  await writeReport(out, manifest, data);
  const total = Object.values(epochs).reduce((a, b) => a + b, 0);
  progress.note(`the whole path cost ${total.toFixed(2)} epochs of the dense model's training step`);
  return manifest;
}

/** What the manifest says of where a path comes from. @param decided by the run, where options left it open */
function headerOf(
  { options, dataset }: TimedRequest,
  { calibrated, fingerprint, sourceSha256 }: Run,
  decided: { readonly align: number; readonly recover: number; readonly recoverWeights: string },
) {
  const { id, search, batch, loss, rotate, compensate, recoverRate, seed } = options;
  return {
    model: { id, version: versionOf(fingerprint), sourceSha256 },
    createdAt: new Date().toISOString(),
    task: calibrated.pool.task.name,
    ...(dataset.targets?.kind === 'class' ? { labels: [...dataset.targets.names] } : {}),
    preprocessing: preprocessingOf(calibrated.pool.data),
    search: {
      form: search,
      ...searchSettings(options),
      batch,
      loss,
      rotate,
      compensate,
      ...decided,
      recoverRate,
    },
    seed,
    dataSha256: dataset.sha256,
  };
}

/** By pair: the search's, or where matrices are refitted the one that this leaves. */
async function orderOf(
  { model, moments }: CalibratedModel,
  flat: readonly number[],
  { compensate }: BuildOptions,
  progress: Progress,
  signal: AbortSignal | undefined,
): Promise<(readonly number[])[]> {
  const found = orderByPair(indexUnits(model.pairs), flat);
  if (!compensate) return found;
  const stage = progress.stage('order', found.length);
  const order = await compensatedOrder(model, moments, found, async (done) => {
    stage.update(done);
    await immediate();
    throwIfAborted(signal);
  });
  stage.finish();
  return order;
}

function laneOptions({ workers, workerThreads }: Pick<Run, 'workers' | 'workerThreads'>) {
  return { workers, workerThreads };
}

function versionOf(fingerprint: string): string {
  return `p${fingerprint.slice(0, 12)}`;
}

function preprocessingOf({ imageInput, normalisation }: BoundDataset): Manifest['preprocessing'] {
  if (imageInput === undefined || normalisation === undefined) return {};
  const { scale, mean, std } = normalisation;
  return { [imageInput]: { scale, mean: [...mean], std: [...std] } };
}
