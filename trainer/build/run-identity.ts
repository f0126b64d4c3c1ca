/** Which run a checkpoint belongs to: what may be gone on with, what of it is kept, and what is refused. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { openArtifact } from '../../schema/artifact/store.ts';
import { SppError } from '../../schema/errors.ts';
import { MANIFEST_FILE, type Manifest } from '../../schema/manifest.ts';
import type { Dataset } from '../data/dataset.ts';
import { isTokenMask } from '../data/token-masks.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { defaultInclusion } from '../search/inclusion.ts';
import type { BuildRequest } from './build-request.ts';
import type { Checkpoint, RunIdentity } from './checkpoint.ts';
import { chosenLayout } from './chosen-layout.ts';
import type { BuildOptions } from './options.ts';

/** Raised when the same options lead to another path, so that no checkpoint is gone on with that the rest would not follow from. */
const METHOD_REVISION = 11;
/** The same for data that says what is padding: what the rest leads to stays what it was. */
const PADDED_REVISION = 1;

export interface Fingerprints {
  /** Equal exactly when two runs would give the same path on the same backend. */
  readonly fingerprint: string;
  /** Equal exactly when they would search alike. */
  readonly searchFingerprint: string;
  /** What the search is decided by, in parts. */
  readonly asked: NonNullable<RunIdentity['asked']>;
}

/**
 * What identifies a run: the file, everything that was read of the data and how, and the options that decide the path. Workers and
 * `recompute` decide no more than the last digits.
 * @param sourceSha256 of the model file and its data files
 */
export function fingerprintsOf(sourceSha256: string, dataset: Dataset, options: BuildOptions): Fingerprints {
  const { workers: _workers, workerThreads: _threads, recompute: _recompute, ...deciding } = options;
  const digest = (its: unknown, ...more: unknown[]) => {
    const { sha256, recipe, fields } = dataset;
    const isPadded = fields.some((field) => isTokenMask(field));
    const text = JSON.stringify([
      sourceSha256,
      sha256,
      recipe,
      its,
      defaultInclusion,
      METHOD_REVISION,
      ...(isPadded ? [{ padded: PADDED_REVISION }] : []),
      ...more,
    ]);
    return createHash('sha256').update(text).digest('hex');
  };
  const { id, levels, lowest, grid, align, frontier, ...rest } = deciding;
  const { recover, recoverWeights, recoverRate, testSamples, latencyRounds, ...searching } = rest;
  return {
    asked: {
      model: sourceSha256,
      data: JSON.stringify([dataset.sha256, dataset.recipe]),
      options: searching,
    },
    fingerprint: digest(deciding),
    // Of some data only as much is read as recovery asks for, and what is drawn follows from how much there is.
    searchFingerprint: digest(searching, dataset.train.count),
  };
}

/**
 * @throws `usage` when nothing can be written to `out`, which must be said before hours of work, or when it holds a finished or unfinished
 * build and neither --resume nor --force was given
 */
export async function refuseToOverwrite(request: BuildRequest, checkpoint: Checkpoint): Promise<void> {
  await assertWritable(request.out);
  if (request.force) return;
  const finished = await readFile(join(request.out, MANIFEST_FILE)).then(
    () => true,
    () => false,
  );
  const unfinished = (await checkpoint.run()) !== undefined;
  // Whether it is the one that is asked for, `finishedRun` tells.
  if (finished && !unfinished && !request.resume) throw occupied(request);
  if (unfinished && !request.resume) {
    throw new SppError('usage', `${request.out} holds an unfinished build.`, {
      hint: 'Go on with --resume, or start over with --force.',
    });
  }
}

function occupied({ out }: Pick<BuildRequest, 'out'>): SppError {
  return new SppError('usage', `${out} already holds an artifact.`, {
    hint: 'Choose another --out, or replace it with --force.',
  });
}

/**
 * The artifact that a run has left which had come to its end: who starts a job again until it is done need not know whether it is.
 * @throws `usage` when it is of something else
 */
export async function finishedRun(
  request: BuildRequest,
  checkpoint: Checkpoint,
  { fingerprint }: Fingerprints,
): Promise<Manifest | undefined> {
  if (!request.resume || request.force || (await checkpoint.run()) !== undefined) return undefined;
  const { manifest } = (await openArtifact(request.out).catch(absent)) ?? {};
  if (manifest === undefined) return undefined;
  if (manifest.model.version !== versionOf(fingerprint)) throw occupied(request);
  request.progress.note(`${request.out} holds the finished build: nothing is left to do`);
  return manifest;
}

function absent(error: unknown): undefined {
  if (error instanceof SppError && error.code === 'unknown-artifact') return undefined;
  throw error;
}

/** Of artifacts; equal for runs that give the same path. */
export function versionOf(fingerprint: string): string {
  return `p${fingerprint.slice(0, 12)}`;
}

/** The directory, or the nearest one above it, as it need not be there. */
async function assertWritable(out: string): Promise<void> {
  // With a dot behind it, as a file is none.
  const wrong = await access(`${out}${sep}.`, constants.W_OK).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error,
  );
  if (wrong === undefined) return;
  const parent = dirname(resolve(out));
  if (wrong.code === 'ENOENT' && parent !== resolve(out)) return assertWritable(parent);
  throw new SppError('usage', `Nothing can be written to ${out}: ${wrong.message}.`, {
    hint: 'Choose another --out.',
    cause: wrong,
  });
}

/**
 * The run to go on with, where there is one. Whoever has changed only what decides nothing before the search keeps what was searched.
 * @throws `bad-checkpoint` when it is of something else
 */
export async function savedRun(
  request: BuildRequest,
  checkpoint: Checkpoint,
  fingerprints: Fingerprints,
): Promise<RunIdentity | undefined> {
  const saved = request.resume && !request.force ? await checkpoint.run() : undefined;
  if (saved === undefined && request.resume && !request.force)
    request.progress.note(`there is nothing to go on with in ${request.out}: the build begins anew`);
  if (saved === undefined || saved.fingerprint === fingerprints.fingerprint) return saved;
  if (saved.searchFingerprint !== fingerprints.searchFingerprint) {
    throw new SppError(
      'bad-checkpoint',
      `The unfinished build in ${request.out} is of another model, data or options${differences(saved.asked, fingerprints.asked)}.`,
      {
        hint: 'Give the same command as before with --resume, or start over with --force.',
      },
    );
  }
  const run = { ...saved, ...fingerprints };
  await checkpoint.keepOnly(SEARCH_STAGES, run);
  request.progress.note(
    'options behind the search have changed: what was searched is kept, the rest begins anew',
  );
  return run;
}

/** What differs, as far as it is known, to be set behind what may. */
function differences(saved: RunIdentity['asked'], now: Fingerprints['asked']): string {
  if (saved === undefined) return '';
  const shown = (value: unknown) => (value === undefined ? 'unset' : JSON.stringify(value));
  const options = Object.keys({ ...saved.options, ...now.options }).flatMap((name) => {
    const [was, is] = [shown(saved.options[name]), shown(now.options[name])];
    return was === is ? [] : [`${name} was ${was} and is ${is}`];
  });
  const all = [
    ...(saved.model === now.model ? [] : ['the model file differs']),
    ...(saved.data === now.data ? [] : ['the data differ, or how they are read']),
    ...options,
  ];
  return all.length === 0 ? '' : `: ${all.join(', ')}`;
}

/** Where the checkpoint keeps how long stages took: what an interrupted run had spent is part of the cost. */
export const SECONDS = 'seconds';
/** What the checkpoint holds of the search and before. */
const SEARCH_STAGES = ['limits', 'curvature', 'search', SECONDS] as const;

/** Begins a run of its own: chooses how steps are spread over the cores, which it keeps to when it goes on, and clears the checkpoint. */
export async function begin(
  request: BuildRequest,
  prepared: TracedModel,
  checkpoint: Checkpoint,
  fingerprints: Fingerprints,
): Promise<RunIdentity> {
  const { workers, threads } = await chosenLayout(prepared, request.options, request.progress);
  const run: RunIdentity = { formatVersion: 2, ...fingerprints, workers, workerThreads: threads };
  await checkpoint.begin(run);
  return run;
}
