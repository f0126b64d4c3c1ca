/**
 * The offline job from model file to path artifact, stage by stage:
 * prepare -> calibrate -> rotate -> curvature -> search -> cut and compensate levels -> measure -> write.
 * Each stage's result is a plain value; the expensive ones are checkpointed, the rest follow from them exactly.
 */

import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import type { Manifest } from '../../schema/manifest.ts';
import type { PathLevel } from '../artifact/path-artifact.ts';
import { type LimitLog, limitEventsSchema, limitLog, limitTexts } from '../engine/memory-limits.ts';
import { modelDigest } from '../graph/model-digest.ts';
import { chanceText } from '../measure/chance.ts';
import { pathOrder } from '../search/inclusion.ts';
import type { BuildRequest } from './build-request.ts';
import { type CalibratedModel, calibrate } from './calibrate-model.ts';
import { Checkpoint, float64Array } from './checkpoint.ts';
import { chooseWidths } from './choose-widths.ts';
import { buildLevels } from './level-stage.ts';
import { measureLevels } from './measure-levels.ts';
import { type TimedProgress, timedProgress } from './path-report.ts';
import { planBuild } from './plan-build.ts';
import { preparedFor } from './prepared-for.ts';
import { recoverPath, recoveryPlan } from './recover-path.ts';
import { begin, fingerprintsOf, finishedRun, refuseToOverwrite, SECONDS, savedRun } from './run-identity.ts';
import { type SearchMemory, searchPath } from './search-path.ts';
import { inclusionStateSchema } from './search-stage.ts';
import { throwIfAborted } from './throw-if-aborted.ts';
import { writePath } from './write-path.ts';

/** Builds the artifact. @returns its manifest */
export async function buildPath(request: BuildRequest): Promise<Manifest> {
  const { options, dataset, out } = request;
  const progress = timedProgress(request.progress);
  const checkpoint = new Checkpoint(out);
  await refuseToOverwrite(request, checkpoint);

  const stage = progress.stage('prepare', 1);
  const prepared = await preparedFor(request.modelPath, dataset);
  stage.finish({ pairs: prepared.pairs.length });

  const sourceSha256 = await modelDigest(request.modelPath);
  const fingerprints = fingerprintsOf(sourceSha256, dataset, options);
  const finished = await finishedRun(request, checkpoint, fingerprints);
  if (finished !== undefined) return finished;
  const saved = await savedRun(request, checkpoint, fingerprints);
  const calibrated = await calibrate(prepared, dataset, options, progress);
  try {
    throwIfAborted(request.signal);
    // Options that do not fit the model are refused by now: nothing is left behind that the right ones would have to be forced over.
    const run = saved ?? (await begin(request, prepared, checkpoint, fingerprints));
    progress.add((await checkpoint.read(SECONDS, z.map(z.string(), z.number()))) ?? new Map());
    checkpoint.keepBeside(SECONDS, () => progress.seconds());
    const manifest = await makePath(
      { ...request, progress },
      { calibrated, checkpoint, ...run, sourceSha256 },
    );
    await checkpoint.remove();
    return manifest;
  } catch (error) {
    throw resumable(error);
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
async function makePath(request: TimedRequest, run: Run): Promise<Manifest> {
  const { progress, signal } = request;
  const { calibrated, checkpoint, workers, workerThreads } = run;
  const limits = limitLog((await checkpoint.read('limits', limitEventsSchema)) ?? [], (events) =>
    checkpoint.write('limits', events),
  );
  const laned = { ...request.options, workers, workerThreads };
  const memoryPlan = await planBuild(calibrated, laned);
  for (const note of memoryPlan.notes) progress.note(note);
  const { byLevel, twoBeginnings, microBatch, train } = memoryPlan;
  const options = { ...laned, microBatch };

  const memory = await searchMemory(checkpoint, limits);
  const state = await searchPath(calibrated, options, progress, memory, signal);
  const cut = await chooseWidths({ ...request, checkpoint }, calibrated, pathOrder(state));
  const { order, widths, shares } = cut;

  const plan = recoveryPlan(options, memoryPlan, calibrated.pool.all.length, widths, shares);
  const searched = twoBeginnings ? cut.searched : undefined;
  const recovering = { ...request, options, byLevel, searched, checkpoint, limits };
  const path = await recoverPath(recovering, { ...calibrated, order }, plan);
  const { recovered, notes = [] } = path;
  for (const note of notes) progress.note(note);
  // Levels that moved little are still as they were refitted.
  const compensate = options.compensate && recovered?.near !== true;
  const refit = { compensate };
  const levels = await buildLevels(path, path.order, widths, refit, progress, signal, recovered?.levels);
  const measured = await measureLevels(request, path, levels, widths, checkpoint);
  const quality = (measured.at(-1) as PathLevel).quality;
  const doubts = [chanceText(quality, request.dataset.targets, calibrated.pool.output) ?? []].flat();
  for (const doubt of doubts) progress.note(doubt);
  const scarce = limitTexts((await checkpoint.read('limits', limitEventsSchema)) ?? []);
  return writePath(request, {
    ...run,
    state,
    cut,
    path,
    recovery: { train, steps: recovered?.steps ?? plan.steps, draw: recovered?.draw ?? plan.draw },
    measured,
    notes: [...memoryPlan.notes, ...cut.notes, ...scarce, ...notes, ...doubts],
  });
}

/** What has been computed is kept where a file could not be written. */
function resumable(error: unknown): unknown {
  if (!(error instanceof SppError && error.code === 'not-written')) return error;
  return new SppError(error.code, error.message, {
    hint: 'Make room on that disk, then go on with --resume.',
    cause: error,
  });
}

async function searchMemory(checkpoint: Checkpoint, limits: LimitLog): Promise<SearchMemory> {
  return {
    limits,
    curvature: await checkpoint.read('curvature', float64Array),
    state: await checkpoint.read('search', inclusionStateSchema),
    saveCurvature: (curvature) => checkpoint.write('curvature', curvature),
    saveState: (state) => checkpoint.write('search', state),
  };
}
