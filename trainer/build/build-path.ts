/**
 * The offline job from model file to path artifact, stage by stage:
 * prepare -> calibrate -> rotate -> curvature -> search -> cut and compensate levels -> measure -> write.
 * Each stage's result is a plain value; the expensive ones are checkpointed, the rest follow from them exactly.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { sha256Hex } from '../../schema/artifact/store.ts';
import { writeArtifact } from '../../schema/artifact/write.ts';
import { SppError } from '../../schema/errors.ts';
import { MANIFEST_FILE, type Manifest, qualitySchema } from '../../schema/manifest.ts';
import { type PathLevel, pathArtifact } from '../artifact/path-artifact.ts';
import { ownTensors } from '../compensation/compensate-level.ts';
import { type Dataset, matchInput } from '../data/dataset.ts';
import { createMaskEngine } from '../engine/mask-engine.ts';
import type { Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { measureAccuracy } from '../measure/accuracy.ts';
import { measureLatency } from '../measure/latency.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { rotatePairs } from '../rotation/rotate-pairs.ts';
import { allocateLevels, evenGrid, sizeAt } from '../search/allocate.ts';
import {
  defaultInclusion,
  type InclusionOptions,
  type InclusionState,
  pathOrder,
} from '../search/inclusion.ts';
import { indexUnits, orderByPair } from '../search/units.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { drawPool, logitsOf, measureMoments, type Pool } from './calibration.ts';
import { Checkpoint, float64Array } from './checkpoint.ts';
import { compensatedLevel, keepAt, type LevelModel, plainLevel } from './level-stage.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';
import {
  estimateCurvature,
  inclusionStateSchema,
  runSearch,
  throwIfAborted,
  unitScales,
} from './search-stage.ts';

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

/** What search and levels work on: the rotated model, its moments, the examples and the dense model's answers. */
export interface CalibratedModel {
  readonly model: PreparedModel;
  readonly moments: ReadonlyMap<string, Moments>;
  readonly pool: Pool;
  readonly teacher: Tensor;
  readonly holdoutTeacher: Tensor;
}

const LATENCY_BATCHES = [1, 8] as const;
const LATENCY_ROUNDS = 100;

/** Builds the artifact. @returns its manifest */
export async function buildPath(request: BuildRequest): Promise<Manifest> {
  const { options, dataset, out, progress } = request;
  const source = await readModel(request.modelPath);
  const checkpoint = new Checkpoint(out);
  await refuseToOverwrite(request, checkpoint);
  await mkdir(out, { recursive: true });

  const stage = progress.stage('prepare', 1);
  const prepared = await prepareModel(source, basename(request.modelPath));
  matchInput(dataset, prepared.graph.inputs);
  stage.finish({ pairs: prepared.pairs.length });

  const fingerprint = fingerprintOf(source, dataset, options);
  const run = await continueOrBegin(request, checkpoint, fingerprint);
  const calibrated = await calibrate(prepared, dataset, options, progress);
  throwIfAborted(request.signal);

  const state = await search(request, calibrated, checkpoint, run.workers);
  const order = orderByPair(indexUnits(prepared.pairs), pathOrder(state));
  const widths = allocateLevels(
    prepared.pairs,
    pathOrder(state),
    prepared.flops,
    evenGrid(options.levels, options.lowest),
  );
  const levels = await buildLevels(calibrated, order, widths, options, progress, request.signal);
  const measured = await measureLevels(request, calibrated, levels, widths, checkpoint);

  const writing = progress.stage('write', 1);
  const own = options.compensate ? ownTensors(prepared.pairs) : [];
  const {
    graph,
    weights,
    levels: artifactLevels,
    ...ports
  } = pathArtifact(calibrated.model, order, measured, own);
  const manifest = await writeArtifact(out, {
    header: {
      model: { id: options.id, version: versionOf(fingerprint), sourceSha256: sha256Hex(source) },
      createdAt: new Date().toISOString(),
      task: 'image-classification',
      labels: Array.from({ length: dataset.classes }, (_, label) => String(label)),
      preprocessing: { [calibrated.pool.input]: asPreprocessing(dataset) },
      search: {
        ...inclusionOptions(options),
        batch: options.batch,
        loss: options.loss,
        rotate: options.rotate,
        compensate: options.compensate,
      },
      seed: options.seed,
      dataSha256: dataset.sha256,
      ...ports,
    },
    graph,
    weights,
    levels: artifactLevels,
  });
  await checkpoint.remove();
  writing.finish({ levels: manifest.levels.length });
  return manifest;
}

/** Rotates the model by statistics of the training data, and asks the dense model for its answers. */
export async function calibrate(
  prepared: PreparedModel,
  dataset: Dataset,
  options: BuildOptions,
  progress: Progress,
): Promise<CalibratedModel> {
  const threads = availableParallelism();
  const input = matchInput(dataset, prepared.graph.inputs);
  const output = prepared.graph.outputs[0]?.name ?? '';
  const pool = drawPool(dataset, { input, output }, options.calibration, options.seed);

  const statistics = progress.stage('calibrate', Math.min(2048, pool.indices.length));
  const dense = await measureMoments(prepared.graph, prepared.pairs, pool, threads, statistics);
  statistics.finish();
  const turned = options.rotate
    ? rotatePairs(prepared.graph, prepared.pairs, dense)
    : { graph: prepared.graph, moments: dense };

  const answering = progress.stage('teacher', pool.indices.length);
  const teacher = await logitsOf(prepared.graph, pool, pool.indices, threads, answering);
  const holdoutTeacher = await logitsOf(prepared.graph, pool, pool.holdout, threads);
  answering.finish();
  const rotatedAnswers = await logitsOf(turned.graph, pool, pool.holdout, threads);
  refuseInexact(holdoutTeacher, rotatedAnswers);
  return {
    model: { ...prepared, graph: turned.graph },
    moments: turned.moments,
    pool,
    teacher,
    holdoutTeacher,
  };
}

async function search(
  request: BuildRequest,
  calibrated: CalibratedModel,
  checkpoint: Checkpoint,
  workers: number,
): Promise<InclusionState> {
  const { options, progress } = request;
  const inclusion = inclusionOptions(options);
  const { model, pool, teacher } = calibrated;
  const saved = await checkpoint.read('search', inclusionStateSchema);
  if (saved !== undefined && saved.step >= inclusion.steps) return saved;
  const engine = await createMaskEngine({
    graph: model.graph,
    pairs: model.pairs,
    backend: options.backend,
    workers,
  });
  try {
    const context = {
      engine,
      pairs: model.pairs,
      pool,
      teacher,
      batch: options.batch,
      loss: options.loss,
      seed: options.seed,
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    };
    progress.note(
      `searching on ${engine.backend} with ${engine.workers} worker${engine.workers === 1 ? '' : 's'}`,
    );
    let curvature = await checkpoint.read('curvature', float64Array);
    if (curvature === undefined) {
      const estimating = progress.stage('curvature', 24);
      curvature = await estimateCurvature(context, estimating);
      await checkpoint.write('curvature', curvature);
      estimating.finish();
    }
    const searching = progress.stage('search', inclusion.steps);
    const scales = unitScales(model.pairs, curvature);
    const state = await runSearch(
      context,
      scales,
      inclusion,
      saved,
      (s) => checkpoint.write('search', s),
      searching,
    );
    await checkpoint.write('search', state);
    searching.finish();
    return state;
  } finally {
    await engine.close();
  }
}

/** Models of all levels, sparsest first. */
export async function buildLevels(
  calibrated: CalibratedModel,
  order: readonly (readonly number[])[],
  widths: readonly (readonly number[])[],
  options: Pick<BuildOptions, 'compensate'>,
  progress: Progress,
  signal?: AbortSignal,
): Promise<LevelModel[]> {
  const { model, moments, pool, holdoutTeacher } = calibrated;
  const stage = progress.stage('compensate', widths.length);
  const levels: LevelModel[] = [];
  for (const row of widths) {
    throwIfAborted(signal);
    const keep = keepAt(order, row);
    levels.push(
      options.compensate
        ? await compensatedLevel(model, keep, moments, pool, holdoutTeacher, availableParallelism())
        : plainLevel(model, keep),
    );
    stage.update(levels.length);
  }
  stage.finish();
  return levels;
}

async function measureLevels(
  request: BuildRequest,
  calibrated: CalibratedModel,
  levels: readonly LevelModel[],
  widths: readonly (readonly number[])[],
  checkpoint: Checkpoint,
): Promise<PathLevel[]> {
  const { options, dataset, progress } = request;
  const { model, pool } = calibrated;
  const samples = Math.min(options.testSamples, dataset.test.count);
  const done = (await checkpoint.read('qualities', z.array(qualitySchema))) ?? [];
  const measuring = progress.stage('measure', levels.length * samples);
  for (const [level, { cut }] of levels.entries()) {
    throwIfAborted(request.signal);
    if (done[level] !== undefined) continue;
    const quality = await measureAccuracy({
      model: writeOnnx(cut),
      input: pool.input,
      output: pool.output,
      split: dataset.test,
      samples,
      threads: availableParallelism(),
      onProgress: (n) => measuring.update(level * samples + n),
    });
    done.push(quality);
    await checkpoint.write('qualities', done);
  }
  measuring.finish();
  const timing = progress.stage('latency', LATENCY_BATCHES.length * LATENCY_ROUNDS);
  const latencies = await measureLatency({
    models: levels.map(({ cut }) => writeOnnx(cut)),
    feeds: (batch) => ({
      [pool.input]: dataset.test.inputs(Array.from({ length: batch }, (_, i) => i % dataset.test.count)),
    }),
    batches: LATENCY_BATCHES,
    rounds: LATENCY_ROUNDS,
    device: 'cpu',
    onProgress: (n) => timing.update(n),
  });
  timing.finish();
  return levels.map(({ cut }, level) => {
    const row = widths[level] ?? [];
    const { flops, params } = sizeAt(model.pairs, row, model);
    const relativeFlops = Math.min(1, flops / model.flops);
    return {
      cut,
      widths: [...row],
      flops,
      params,
      relativeFlops,
      relativeParams: Math.min(1, params / model.params),
      sparsity: 1 - relativeFlops,
      quality: done[level] as (typeof done)[number],
      latency: latencies[level] ?? [],
    };
  });
}

async function readModel(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new SppError('bad-model', `The model file ${path} cannot be read.`, {
      cause,
      hint: 'Check the path.',
    });
  }
}

/** @throws `usage` when `out` holds a finished or unfinished build and neither --resume nor --force was given */
async function refuseToOverwrite(request: BuildRequest, checkpoint: Checkpoint): Promise<void> {
  if (request.force) return;
  const finished = await readFile(join(request.out, MANIFEST_FILE)).then(
    () => true,
    () => false,
  );
  const unfinished = (await checkpoint.run()) !== undefined;
  if (finished && !unfinished) {
    throw new SppError('usage', `${request.out} already holds an artifact.`, {
      hint: 'Choose another --out, or replace it with --force.',
    });
  }
  if (unfinished && !request.resume) {
    throw new SppError('usage', `${request.out} holds an unfinished build.`, {
      hint: 'Go on with --resume, or start over with --force.',
    });
  }
}

async function continueOrBegin(
  request: BuildRequest,
  checkpoint: Checkpoint,
  fingerprint: string,
): Promise<{ workers: number }> {
  const saved = request.resume && !request.force ? await checkpoint.run() : undefined;
  if (saved !== undefined) {
    if (saved.fingerprint !== fingerprint) {
      throw new SppError(
        'bad-checkpoint',
        `The unfinished build in ${request.out} is of another model, data or options.`,
        {
          hint: 'Give the same command as before with --resume, or start over with --force.',
        },
      );
    }
    return saved;
  }
  const workers = request.options.workers ?? Math.min(8, availableParallelism());
  await checkpoint.begin({ formatVersion: 1, fingerprint, workers });
  return { workers };
}

/** Equal exactly when two runs would give the same path on the same backend. */
function fingerprintOf(source: Uint8Array, dataset: Dataset, options: BuildOptions): string {
  const { workers: _, ...deciding } = options;
  const text = JSON.stringify([
    sha256Hex(source),
    dataset.sha256,
    dataset.normalisation,
    deciding,
    defaultInclusion,
  ]);
  return createHash('sha256').update(text).digest('hex');
}

function versionOf(fingerprint: string): string {
  return `p${fingerprint.slice(0, 12)}`;
}

function inclusionOptions(options: BuildOptions): InclusionOptions {
  return { ...defaultInclusion, steps: options.steps };
}

function asPreprocessing({ normalisation }: Dataset): { scale: number; mean: number[]; std: number[] } {
  return { scale: normalisation.scale, mean: [...normalisation.mean], std: [...normalisation.std] };
}

/** The rotated model must be the dense one. */
function refuseInexact(dense: Tensor, rotated: Tensor): void {
  const [a, b] = [dense.data as Float32Array, rotated.data as Float32Array];
  const scale = a.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-30);
  const error = a.reduce((max, value, i) => Math.max(max, Math.abs(value - (b[i] as number))), 0) / scale;
  if (!(error <= 1e-3)) {
    throw new SppError(
      'numerical-failure',
      `Rotation changed the model's output by ${error.toExponential(1)} (relative).`,
      {
        hint: 'Build with --no-rotate.',
      },
    );
  }
}
