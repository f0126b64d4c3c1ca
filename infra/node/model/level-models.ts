/** Levels as threads load them: views of one file of weights where onnxruntime maps files, else whole models in memory. */
import type { Logger } from 'pino';
import { filesOfLevel } from '../../../schema/artifact/level-model.ts';
import { type Artifact, isRemote } from '../../../schema/artifact/store.ts';
import { SppError } from '../../../schema/errors.ts';
import type { Manifest } from '../../../schema/manifest.ts';
import type { Packed } from '../execution/messages.ts';
import type { LevelModel } from '../execution/worker-pool.ts';
import { type PackedFile, packedFile, type RunInput } from '../weights/packed-file.ts';
import { openWeightFile, type WeightFile } from '../weights/weight-file.ts';
import { unavailable } from './level-fault.ts';
import { artifactLevels } from './level-source.ts';

/** A level with what it takes in memory once all threads have a session of it. */
export interface SizedLevel extends LevelModel {
  /** Of no use to any other level. */
  readonly ownBytes: number;
  /** Shared with other levels: of all levels in memory the largest counts. */
  readonly sharedBytes: number;
  /** More, where its sessions are packed; 0 where that makes no difference. */
  readonly packedBytes: number;
}

export interface LevelModels {
  readonly manifest: Manifest;
  /** Whether its files have to come from elsewhere, so that the sparse levels are there long before the dense one. */
  readonly remote: boolean;
  /** @throws `unknown-level`; `level-unavailable` naming the file that is damaged, missing or out of reach */
  model(level: number): Promise<SizedLevel>;
  /** Forgets what none of these levels needs; to be called when others have gone from memory. */
  keep(levels: readonly number[]): void;
  /** Whether threads that pack a level are to share one file for it (`packedFile`), instead of making a copy each. */
  packsInFile(level: number): boolean;
  /**
   * How sessions of a level, and of others that take from its packed file what they have in common with it, are to be packed; undefined
   * where that saves too little of a run to be worth the memory, where the disk does not take it, or took no views of it either.
   * @param inputs of the runs that are usual
   */
  packedFile(
    model: LevelModel,
    inputs: readonly RunInput[],
  ): Promise<ReadonlyMap<number, Packed> | undefined>;
  /** The same, with the levels that have come since there was a packed file; undefined where there is none, or none have. */
  packedWithMore(): Promise<ReadonlyMap<number, Packed> | undefined>;
  /** Puts weights on disk right that somebody else has written to. */
  mend(): Promise<MendedLevels>;
  close(): Promise<void>;
}

export interface MendedLevels {
  /** What was made of any level meanwhile may hold what lay there, and is to be made anew. */
  readonly changed: boolean;
  /** Levels that cannot be put right, each with what `model` would throw. */
  readonly lost: ReadonlyMap<number, SppError>;
}

export interface LevelModelOptions {
  readonly artifact: Artifact;
  readonly ep: string;
  readonly workers: number;
  /** How long a failure lasts for callers. */
  readonly retryAfterS: number;
  /** Where the file of weights is kept; undefined keeps levels in memory. */
  readonly directory: string | undefined;
  readonly log: Logger;
  /** From how many bytes of weights on threads share a packed file; `WORTH_A_FILE_BYTES` unless told. */
  readonly worthAFileBytes?: number;
  /** The share of a run that packing has to save where it takes a file; `WORTH_PACKING` unless told. */
  readonly worthPacking?: number;
}

/** A transformer that cuts an image into patches has one convolution, which takes next to no time however its weights lie. */
const MOST_UNBLOCKED = 1;

/** Smaller levels are packed by each thread for itself: that costs less memory than a session, and no disk. */
const WORTH_A_FILE_BYTES = 32 * 2 ** 20;

/** Packing doubles a level's memory: as much of a run is left to memory as the node may be behind bare onnxruntime. */
const WORTH_PACKING = 0.05;

/** What a session takes beyond weights and scratch memory, for a byte of its graph: measured on graphs of 12 layers. */
const SESSION_BYTES_PER_GRAPH_BYTE = 40;

export async function levelModels(options: LevelModelOptions): Promise<LevelModels> {
  const { artifact, workers, log, directory } = options;
  const { manifest } = artifact;
  const whole = artifactLevels(artifact, options.retryAfterS);
  const isLarge = (level: number) =>
    (manifest.levels[level]?.bytes ?? 0) >= (options.worthAFileBytes ?? WORTH_A_FILE_BYTES);
  // Other providers keep weights on their device, where a mapped file gains nothing.
  const views =
    options.ep === 'cpu' && directory !== undefined
      ? await openViews(artifact, directory, isLarge(manifest.levels.length - 1), log)
      : undefined;
  const graphBytes = manifest.files.find(({ path }) => path === manifest.graph)?.bytes ?? 0;
  const sessionBytes = graphBytes * SESSION_BYTES_PER_GRAPH_BYTE * workers;
  const packed = views && directory !== undefined ? await packedFile(directory) : undefined;
  // A thread that has but one level would only have the disk's trouble.
  const packsInFile = (level: number) =>
    packed !== undefined && (workers > 1 || manifest.levels.length > 1) && isLarge(level);
  /** Paths of levels' models, as their views lie. */
  const lying = new Map<number, string>();
  /** The level that has a packed file, and the levels beside it. */
  let filed: { readonly level: number; readonly beside: ReadonlySet<number> } | undefined;

  /** Levels that have been asked for, and those below a level that need no file of which it has not been made. */
  const besides = async (views: WeightFile, level: number) => {
    for (const { level: sparser, own } of manifest.levels.slice(0, level)) {
      if (lying.has(sparser) || (own !== undefined && isRemote(artifact.location))) continue;
      // What it lacks is told to who asks for it.
      const path = await views.model(sparser).catch(() => undefined);
      if (path !== undefined) lying.set(sparser, path);
    }
    return new Map([...lying].filter(([other]) => other !== level));
  };
  const packBeside = async (level: number, file: PackedFile, others: ReadonlyMap<number, string>) => {
    const { path, beside } = await file.pack(level, lying.get(level) ?? '', others);
    filed = { level, beside: new Set(beside.keys()) };
    return new Map<number, Packed>([
      ...[...beside].map(([other, of]) => [other, `beside:${of}`] as const),
      [level, `file:${path}`],
    ]);
  };
  let warned = false;

  const inMemory = async (level: number): Promise<SizedLevel> => {
    const bytes = await whole.model(level);
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    const ownBytes = bytes.length * (1 + workers) + sessionBytes;
    const sharedBytes = whole.sharedBytes(level);
    return { level, data: { kind: 'whole', bytes: shared }, ownBytes, sharedBytes, packedBytes: 0 };
  };

  return {
    manifest,
    remote: isRemote(artifact.location),
    async model(level) {
      if (views === undefined || manifest.levels[level] === undefined) return inMemory(level);
      try {
        const path = await views.model(level);
        lying.set(level, path);
        const { bytes, own } = manifest.levels[level];
        const ownBytes = own?.extents.reduce((sum, extent) => sum + extent.bytes, 0) ?? 0;
        return {
          level,
          data: { kind: 'views', path, blocksConvolutions: views.convolutions > MOST_UNBLOCKED },
          ownBytes: ownBytes + sessionBytes,
          sharedBytes: bytes - ownBytes,
          packedBytes: bytes * (packsInFile(level) ? 1 : workers),
        };
      } catch (error) {
        if (!(error instanceof SppError) || error.details?.reason !== 'disk')
          throw unavailable(manifest, level, error, options.retryAfterS);
        if (!warned) log.warn({ err: error }, 'levels are kept in memory one by one');
        warned = true;
        return inMemory(level);
      }
    },
    keep: whole.keep,
    packsInFile,
    async packedFile({ level, data }, inputs) {
      try {
        if (data.kind !== 'views' || packed === undefined || views === undefined) return undefined;
        const gain = await packed.gain(data.path, inputs);
        const isWorthIt = gain >= (options.worthPacking ?? WORTH_PACKING);
        log.info({ level, gain }, isWorthIt ? 'a level is packed' : 'a level runs as it lies');
        if (!isWorthIt) return undefined;
        return await packBeside(level, packed, await besides(views, level));
      } catch (error) {
        log.warn({ level, err: error }, 'a level stays as it is: its packed weights cannot be kept on disk');
        return undefined;
      }
    },
    async packedWithMore() {
      if (filed === undefined || packed === undefined || views === undefined) return undefined;
      const { level, beside } = filed;
      const others = await besides(views, level);
      if ([...others.keys()].every((other) => beside.has(other))) return undefined;
      return packBeside(level, packed, others).catch((error: unknown) => {
        log.warn({ level, err: error }, 'levels cannot be laid beside a packed one');
        return undefined;
      });
    },
    async mend() {
      const { placed, lost } = (await views?.mend()) ?? { placed: [], lost: new Map<string, unknown>() };
      const levels = new Map<number, SppError>();
      for (const { level } of manifest.levels)
        for (const path of filesOfLevel(manifest, level))
          if (lost.has(path))
            levels.set(level, unavailable(manifest, level, lost.get(path), options.retryAfterS));
      const changed = placed.length + lost.size > 0;
      if (changed) {
        log.error(
          { files: [...placed, ...lost.keys()], directory },
          'weights were changed on disk, and are placed anew',
        );
        packed?.forget();
        filed = undefined;
        lying.clear();
      }
      return { changed, lost: levels };
    },
    async close() {
      await packed?.close();
      await views?.close();
    },
  };
}

async function openViews(
  artifact: Artifact,
  directory: string,
  inBlocks: boolean,
  log: Logger,
): Promise<WeightFile | undefined> {
  try {
    const file = await openWeightFile(artifact, directory, inBlocks);
    const { cutOffAt, layout } = file;
    // Who was ended by that could not say so.
    if (cutOffAt !== undefined)
      log.error(
        { directory, bytes: cutOffAt, wanted: layout.bytes },
        'weights were cut off on disk, and are placed anew; the system ends a node that runs on them then (SIGBUS)',
      );
    return file;
  } catch (error) {
    if (error instanceof SppError && error.details?.reason !== 'disk') throw error;
    log.warn(
      { err: error, directory },
      'levels are kept in memory one by one: their weights cannot be kept on disk',
    );
    return undefined;
  }
}
