/** The end of a build: which levels are worth keeping, the artifact, and the report beside it. */
import { writeArtifact } from '../../schema/artifact/write.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { type PathLevel, pathArtifact } from '../artifact/path-artifact.ts';
import type { BoundDataset } from '../data/bind-dataset.ts';
import { beatenText, droppedText, frontier } from '../measure/frontier.ts';
import type { RecoveryPlan } from '../recovery/plan.ts';
import { writeReportData } from '../report/report-file.ts';
import { writeReport } from '../report/write-report.ts';
import type { InclusionState } from '../search/inclusion.ts';
import { indexUnits } from '../search/units.ts';
import type { BuildRequest } from './build-request.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { LevelWidths } from './choose-widths.ts';
import { ownTensors } from './level-stage.ts';
import { epochsByStage, reportData, type TimedProgress } from './path-report.ts';
import type { RecoveredPath } from './recover-path.ts';
import { versionOf } from './run-identity.ts';
import { searchSettings } from './search-path.ts';

interface WriteRequest extends Pick<BuildRequest, 'options' | 'dataset' | 'out'> {
  readonly progress: TimedProgress;
}

/** A whole path as the stages left it. */
export interface MeasuredPath {
  readonly sourceSha256: string;
  readonly fingerprint: string;
  /** As it was searched. */
  readonly calibrated: CalibratedModel;
  readonly state: InclusionState;
  readonly cut: LevelWidths;
  /** As it is served. */
  readonly path: RecoveredPath;
  readonly recovery: Pick<RecoveryPlan, 'steps' | 'train' | 'draw'>;
  readonly measured: readonly PathLevel[];
  /** What was said on the way. */
  readonly notes: readonly string[];
}

/** @returns the manifest, written last */
export async function writePath(request: WriteRequest, made: MeasuredPath): Promise<Manifest> {
  const { options, out, progress } = request;
  const { calibrated, path, cut, measured, recovery, state } = made;
  const { kept, notes } = keptLevels(options.frontier, measured);
  for (const note of notes) progress.note(note);

  const writing = progress.stage('write', 1);
  const refitted = options.compensate ? ownTensors(calibrated.model, calibrated.pool) : [];
  const own = kept.map((level) => [...new Set([...(path.recovered?.names[level] ?? []), ...refitted])]);
  const levels = kept.map((level) => measured[level] as PathLevel);
  const { graph, weights, levels: written, ...ports } = pathArtifact(path.model, path.order, levels, own);
  const header = { ...headerOf(request, made), ...ports };
  const manifest = await writeArtifact(out, { header, graph, weights, levels: written });
  writing.finish({ levels: manifest.levels.length });

  const { all, indices } = calibrated.pool;
  const scene = { examples: all.length, pool: indices.length, shares: cut.shares };
  const epochs = epochsByStage({ ...options, recover: recovery.steps }, scene, recovery.draw);
  const index = indexUnits(calibrated.model.pairs);
  const data = reportData(state, index, options.steps, progress, epochs, [...made.notes, ...notes]);
  await writeReportData(out, data);
  await writeReport(out, manifest, data);
  const total = Object.values(epochs).reduce((a, b) => a + b, 0);
  progress.note(`the whole path cost ${total.toFixed(2)} epochs of the dense model's training step`);
  return manifest;
}

/** All levels, or those that no other beats; and what is to be said of those that others beat. */
function keptLevels(
  onFrontier: boolean,
  measured: readonly PathLevel[],
): { readonly kept: readonly number[]; readonly notes: readonly string[] } {
  const { kept, dropped } = frontier(measured);
  if (onFrontier) return { kept, notes: dropped.map((each) => droppedText(each, measured)) };
  return { kept: [...measured.keys()], notes: [beatenText(dropped) ?? []].flat() };
}

/** What the manifest says of where a path comes from. */
function headerOf(
  { options, dataset }: WriteRequest,
  { calibrated, fingerprint, sourceSha256, cut, recovery }: MeasuredPath,
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
      align: cut.multiple,
      recover: recovery.steps,
      recoverWeights: recovery.train,
      recoverRate,
    },
    seed,
    dataSha256: dataset.sha256,
  };
}

function preprocessingOf({ imageInput, normalisation }: BoundDataset): Manifest['preprocessing'] {
  if (imageInput === undefined || normalisation === undefined) return {};
  const { scale, mean, std } = normalisation;
  return { [imageInput]: { scale, mean: [...mean], std: [...std] } };
}
