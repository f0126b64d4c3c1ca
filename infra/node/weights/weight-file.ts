/**
 * The file that `shared-layout.ts` describes, filled from an artifact as levels are asked for, and each level's graph
 * beside it. What has been filled stays on disk: another start, or another process on this machine, takes it up again
 * and shares its pages. Every byte has been held to a sha256 before it is used: the artifact's when it came, and later
 * the one that was noted when it was placed.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { filesOfLevel } from '../../../schema/artifact/level-model.ts';
import { makeDirectory } from '../../../schema/artifact/make-directory.ts';
import type { Artifact } from '../../../schema/artifact/store.ts';
import { writeDurably } from '../../../schema/artifact/write.ts';
import { SppError } from '../../../schema/errors.ts';
import type { Manifest } from '../../../schema/manifest.ts';
import { parseGraph, sharedModel } from './shared-graph.ts';
import { type SharedLayout, sharedLayout, unitsFirst } from './shared-layout.ts';

export interface WeightFile {
  readonly layout: SharedLayout;
  /** In the model's graph. */
  readonly convolutions: number;
  /** Where the file ended when it was opened, if that was before what had been placed in it; what is missing is placed anew. */
  readonly cutOffAt: number | undefined;
  /**
   * Path of a level's ONNX model; what it needs has been placed.
   * @throws what `Artifact.read` throws; `level-unavailable` where the disk does not take it
   */
  model(level: number): Promise<string>;
  /**
   * Holds what has been placed to what was noted, where the file is not as this process left it, and places anew what differs: whoever
   * has mapped the file has that again, too.
   */
  mend(): Promise<Mended>;
  close(): Promise<void>;
}

export interface Mended {
  /** Files of the artifact that were placed anew. */
  readonly placed: readonly string[];
  /** That could not be, with what `model` would throw. */
  readonly lost: ReadonlyMap<string, unknown>;
}

const WEIGHTS = 'weights.bin';
/** What the names of notes end with. */
const PLACED = '.placed';

/** Read at once where what lies in the file is checked, so that requests need not wait for it. */
const SLICE_BYTES = 2 ** 20;

/** A stretch of the file, with what is to lie there. */
interface Piece {
  readonly offset: number;
  readonly bytes: number;
  /** From the artifact's file. */
  make(file: Uint8Array): Uint8Array;
}

/**
 * @param directory of this artifact version alone; made where it is missing
 * @param inBlocks whether levels' graphs take their matrices in blocks (`output-blocks.ts`), for levels that share a packed file
 */
export async function openWeightFile(
  artifact: Artifact,
  directory: string,
  inBlocks = false,
): Promise<WeightFile> {
  const { manifest } = artifact;
  await makeDirectory(directory, 0o700);
  const graph = parseGraph(await artifact.read(manifest.graph));
  const layout = sharedLayout(manifest, graph);
  const cutOffAt = await endBefore(layout.bytes, directory);
  const handle = await opened(join(directory, WEIGHTS));
  await sized(handle, layout.bytes);
  const placed = new Map<string, Promise<boolean>>();
  /** The file as this process left it. */
  let known = await stateOf(handle);
  let filling = 0;

  const fill = async (path: string) => {
    filling++;
    try {
      const isNew = await placeFile(artifact, handle, directory, path, piecesOf(manifest, layout, path));
      if (isNew) known = await stateOf(handle);
      return isNew;
    } finally {
      filling--;
    }
  };
  const place = (path: string): Promise<boolean> => {
    const before = placed.get(path);
    if (before !== undefined) return before;
    const placing = fill(path);
    placed.set(path, placing);
    placing.catch(() => placed.delete(path));
    return placing;
  };
  const mend = async (): Promise<Mended> => {
    const state = await stateOf(handle);
    const mended: string[] = [];
    const lost = new Map<string, unknown>();
    // While this process writes to it, nobody can tell; the next look will.
    if (state === known || filling > 0) return { placed: mended, lost };
    known = state;
    await sized(handle, layout.bytes);
    for (const [path, placing] of [...placed]) {
      try {
        await placing;
        if (await fill(path)) mended.push(path);
      } catch (error) {
        placed.delete(path);
        lost.set(path, error);
      }
    }
    return { placed: mended, lost };
  };

  return {
    layout,
    cutOffAt,
    convolutions: graph.graph?.node.filter(({ opType }) => opType === 'Conv').length ?? 0,
    async model(level) {
      // One after the other, so that no more than one of them is in memory.
      for (const path of filesOfLevel(manifest, level)) await place(path);
      const parts = await readParts(manifest, layout, handle, level);
      const bytes = sharedModel({
        manifest,
        layout,
        graph,
        level,
        file: WEIGHTS,
        part: (tensor, of) => parts.get(`${tensor.name}@${of}`) ?? new Float32Array(0),
        inBlocks,
      });
      const name = `level-${String(level).padStart(2, '0')}.onnx`;
      await orDiskFault(directory, writeDurably(directory, name, bytes));
      await orDiskFault(directory, requireInPlace(handle, join(directory, WEIGHTS)));
      return join(directory, name);
    },
    mend,
    close: () => handle.close(),
  };
}

function opened(path: string): Promise<FileHandle> {
  // Never emptied: another process may have begun to fill it since it was not there.
  return open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
}

/** How long the file is where it is shorter than it has been: where something was placed, it had its whole length before. */
async function endBefore(bytes: number, directory: string): Promise<number | undefined> {
  const { size } = (await stat(join(directory, WEIGHTS)).catch(() => undefined)) ?? { size: bytes };
  if (size >= bytes) return undefined;
  return (await readdir(directory)).some((name) => name.endsWith(PLACED)) ? size : undefined;
}

async function sized(handle: FileHandle, bytes: number): Promise<void> {
  if ((await handle.stat()).size !== bytes) await handle.truncate(bytes);
}

/** Another one whenever somebody has written to it. */
async function stateOf(handle: FileHandle): Promise<string> {
  const { size, mtimeNs, ctimeNs } = await handle.stat({ bigint: true });
  return `${size} ${mtimeNs} ${ctimeNs}`;
}

/** What was removed, or removed and made anew by another process, is not what has been filled here. */
async function requireInPlace(handle: FileHandle, path: string): Promise<void> {
  const [ours, there] = [await handle.stat(), await stat(path)];
  if (ours.ino !== there.ino || ours.dev !== there.dev) throw new Error(`${path} is another file now`);
}

/** Where the contents of one of the artifact's files go. */
function piecesOf(manifest: Manifest, layout: SharedLayout, path: string): Piece[] {
  const ownLevel = manifest.levels.findIndex(({ own }) => own?.path === path);
  if (ownLevel >= 0) {
    const bytes = manifest.files.find((file) => file.path === path)?.bytes ?? 0;
    return [{ offset: layout.ownOffsets[ownLevel] ?? 0, bytes, make: (file) => file }];
  }
  const level = manifest.levels.findIndex(({ chunk }) => chunk === path);
  const tensors = new Map(manifest.tensors.map((tensor) => [tensor.name, tensor]));
  return (manifest.levels[level]?.extents ?? []).flatMap((extent): Piece[] => {
    const tensor = tensors.get(extent.tensor);
    const where = tensor && layout.places.get(tensor.name);
    if (tensor === undefined || where === undefined) return [];
    const { bytes } = extent;
    const cut = (file: Uint8Array) => file.subarray(extent.offset, extent.offset + bytes);
    if (where.kind === 'parts') return [{ offset: where.offsets[level] ?? 0, bytes, make: cut }];
    const { axis, unitBytes } = where;
    if (axis === undefined) return [{ offset: where.offset, bytes, make: cut }];
    const before = manifest.levels[level - 1]?.widths[axis.pair] ?? 0;
    const units = (manifest.levels[level]?.widths[axis.pair] ?? 0) - before;
    if (bytes !== units * unitBytes)
      throw new SppError(
        'bad-artifact',
        `${path} holds ${bytes} bytes of ${tensor.name} where ${units * unitBytes} belong.`,
      );
    return [
      {
        offset: where.offset + before * unitBytes,
        bytes,
        make: (file) => toBytes(unitsFirst(tensor, toFloats(cut(file)), units)),
      },
    ];
  });
}

/** @returns whether it did not lie there yet, as noted */
async function placeFile(
  artifact: Artifact,
  handle: FileHandle,
  directory: string,
  path: string,
  pieces: readonly Piece[],
): Promise<boolean> {
  const note = `${path}${PLACED}`;
  const { sha256 } = artifact.manifest.files.find((file) => file.path === path) ?? {};
  const noted = await readFile(join(directory, note), 'utf8').catch(() => '');
  if (noted !== '' && noted === (await digestPlaced(handle, pieces, sha256))) return false;
  const file = await artifact.read(path, directory);
  const digest = createHash('sha256').update(String(sha256));
  for (const { offset, bytes, make } of pieces) {
    const piece = make(file);
    if (piece.length !== bytes)
      throw new SppError('bad-artifact', `${path} ends before its last tensor does.`);
    await orDiskFault(directory, writeAll(handle, piece, offset));
    digest.update(piece);
    await breathe();
  }
  await orDiskFault(directory, handle.datasync());
  await orDiskFault(directory, writeDurably(directory, note, new TextEncoder().encode(digest.digest('hex'))));
  return true;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

async function digestPlaced(
  handle: FileHandle,
  pieces: readonly Piece[],
  sha256: string | undefined,
): Promise<string> {
  const digest = createHash('sha256').update(String(sha256));
  for (const { offset, bytes } of pieces)
    for (let at = 0; at < bytes; at += SLICE_BYTES)
      digest.update(await readAt(handle, offset + at, Math.min(SLICE_BYTES, bytes - at)));
  return digest.digest('hex');
}

/** Whole; shorter where the file ends before. */
async function readAt(handle: FileHandle, offset: number, bytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await handle.read(buffer, done, bytes - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}

/** What a level's graph holds itself, by tensor and level. */
async function readParts(
  manifest: Manifest,
  layout: SharedLayout,
  handle: FileHandle,
  top: number,
): Promise<Map<string, Float32Array>> {
  const parts = new Map<string, Float32Array>();
  for (const { level, extents } of manifest.levels.slice(0, top + 1))
    for (const { tensor, bytes } of extents) {
      const place = layout.places.get(tensor);
      if (place?.kind === 'parts')
        parts.set(`${tensor}@${level}`, toFloats(await readAt(handle, place.offsets[level] ?? 0, bytes)));
    }
  return parts;
}

async function orDiskFault<T>(directory: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SppError('level-unavailable', `Weights cannot be kept in ${directory}: ${reason}.`, {
      hint: 'Make room on that disk, or choose another --cache-dir.',
      details: { reason: 'disk' },
      cause,
    });
  }
}

/** A view where the bytes lie aligned, else a copy. */
function toFloats(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, Math.floor(aligned.length / 4));
}

function toBytes(data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
