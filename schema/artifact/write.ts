/** Writing an artifact to a directory: weights cut into chunks by level, then the graph, the manifest last. */
import { createHash, randomUUID } from 'node:crypto';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SppError } from '../errors.ts';
import {
  MANIFEST_FILE,
  type Manifest,
  type ManifestLevel,
  type ManifestTensor,
  manifestSchema,
} from '../manifest.ts';
import { encodeTensor, levelDims } from './layout.ts';
import { ownedByAll } from './level-model.ts';
import { makeDirectory } from './make-directory.ts';
import { sha256Hex } from './store.ts';

/** Chunk offsets are kept apart by this much, so that any of them can be viewed as floats in place. */
const ALIGNMENT_BYTES = 64;

export type LevelMeasures = Pick<
  ManifestLevel,
  'widths' | 'params' | 'flops' | 'relativeFlops' | 'relativeParams' | 'sparsity' | 'quality' | 'latency'
>;

export interface ArtifactSource {
  /** Everything of the manifest that is not derived here. */
  readonly header: Omit<Manifest, 'formatVersion' | 'graph' | 'levels' | 'files'>;
  /** graph.onnx: initializers of `header.tensors` carry no data. */
  readonly graph: Uint8Array;
  /** Dense values in path order, of every tensor that not all levels own; asked for one after the other, so they may be made then. */
  readonly weights: Pick<ReadonlyMap<string, Float32Array>, 'get'>;
  /** Ascending; level 0 is the sparsest. */
  readonly levels: readonly (LevelMeasures & { readonly own: ReadonlyMap<string, Float32Array> })[];
}

/**
 * Writes the artifact; a reader sees all of it or, for want of a manifest, nothing.
 * @returns the manifest as written
 */
export async function writeArtifact(directory: string, source: ArtifactSource): Promise<Manifest> {
  await orNotWritten(directory, makeDirectory(directory));
  await rm(join(directory, MANIFEST_FILE), { force: true });
  const files: Manifest['files'] = [];
  const write = async (path: string, bytes: Uint8Array) => {
    await writeDurably(directory, path, bytes);
    files.push({ path, bytes: bytes.length, sha256: sha256Hex(bytes) });
  };
  const owned = ownedByAll(source.levels.map(({ own }) => [...own.keys()]));
  const nested = source.header.tensors.filter((tensor) => !owned.has(tensor.name));
  await write('graph.onnx', source.graph);
  const chunks = await writeChunks(directory, source, nested);
  const levels: ManifestLevel[] = [];
  for (const [level, { own, ...measures }] of source.levels.entries()) {
    const { file, extents } = chunks[level] as Chunk;
    files.push(file);
    const entry: ManifestLevel = { level, ...measures, bytes: 0, chunk: file.path, extents };
    if (own.size > 0) {
      const packed = pack([...own]);
      const path = `own-${numbered(level)}.bin`;
      await write(path, packed.bytes);
      entry.own = { path, extents: packed.extents };
    }
    entry.bytes = source.header.tensors.reduce(
      (sum, tensor) => sum + 4 * size(levelDims(tensor, entry.widths)),
      0,
    );
    levels.push(entry);
  }
  await removeEarlier(directory, new Set(files.map(({ path }) => path)));
  const manifest = manifestSchema.parse({
    ...source.header,
    formatVersion: 1,
    graph: 'graph.onnx',
    levels,
    files,
  } satisfies Manifest);
  await writeDurably(
    directory,
    MANIFEST_FILE,
    new TextEncoder().encode(`${JSON.stringify(manifest, null, 1)}\n`),
  );
  return manifest;
}

/** Names that are given here, whole or half written. */
const GIVEN =
  /^(?:(?:weights|own)-\d+\.bin|\.(?:(?:weights|own)-\d+\.bin|graph\.onnx|manifest\.json)\S*\.partial)$/;

/** What an artifact with more levels, or one that was killed while it was written, left in the directory. */
async function removeEarlier(directory: string, kept: ReadonlySet<string>): Promise<void> {
  const earlier = (await readdir(directory)).filter((name) => GIVEN.test(name) && !kept.has(name));
  await Promise.all(earlier.map((name) => rm(join(directory, name), { force: true })));
}

interface Chunk {
  readonly file: Manifest['files'][number];
  readonly extents: ManifestLevel['extents'];
}

const numbered = (level: number) => String(level).padStart(2, '0');

/** All levels' chunks at once, tensor by tensor: only one tensor's weights are held at a time. */
async function writeChunks(
  directory: string,
  source: ArtifactSource,
  nested: readonly ManifestTensor[],
): Promise<Chunk[]> {
  const widths = source.levels.map((level) => level.widths);
  const chunks: { path: string; file: AppendedFile; extents: ManifestLevel['extents'] }[] = [];
  try {
    for (const level of widths.keys()) {
      const path = `weights-${numbered(level)}.bin`;
      chunks.push({ path, file: await appendedFile(directory, path), extents: [] });
    }
    for (const tensor of nested) {
      const parts = encodeTensor(tensor, widths, weightsOf(source, tensor));
      for (const [level, part] of parts.entries()) {
        if (part.length === 0) continue;
        const { file, extents } = chunks[level] as (typeof chunks)[number];
        const offset = await file.append(bytesOf(part), ALIGNMENT_BYTES);
        extents.push({ tensor: tensor.name, offset, bytes: part.byteLength });
      }
    }
    const done: Chunk[] = [];
    for (const { path, file, extents } of chunks)
      done.push({ file: { path, ...(await file.finish()) }, extents });
    return done;
  } catch (error) {
    await Promise.all(chunks.map(({ file }) => file.abandon()));
    throw error;
  }
}

function bytesOf(data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

interface AppendedFile {
  /** @returns the offset, a multiple of `alignment`; zeros fill the gap */
  append(bytes: Uint8Array, alignment: number): Promise<number>;
  /** Syncs and gives the file its name. */
  finish(): Promise<{ bytes: number; sha256: string }>;
  abandon(): Promise<void>;
}

/** Written beside its name until it is whole; its digest is made on the way. */
async function appendedFile(directory: string, path: string): Promise<AppendedFile> {
  const temporary = join(directory, `.${path}.partial`);
  const target = join(directory, path);
  const handle = await orNotWritten(target, open(temporary, 'w'));
  const digest = createHash('sha256');
  let end = 0;
  const put = async (bytes: Uint8Array) => {
    await orNotWritten(target, handle.writeFile(bytes)); // goes on behind what was written
    digest.update(bytes);
    end += bytes.length;
  };
  return {
    async append(bytes, alignment) {
      const gap = (alignment - (end % alignment)) % alignment;
      if (gap > 0) await put(new Uint8Array(gap));
      const offset = end;
      await put(bytes);
      return offset;
    },
    async finish() {
      await orNotWritten(target, handle.sync());
      await handle.close();
      await orNotWritten(target, rename(temporary, target));
      return { bytes: end, sha256: digest.digest('hex') };
    },
    async abandon() {
      await handle.close().catch(() => undefined);
      await rm(temporary, { force: true });
    },
  };
}

/**
 * Writes beside, syncs, renames: a crash leaves the old file or the new one, never half; of several that write at once, one wins.
 * @throws `not-written` naming the file; also where a device, a pipe or a directory has the name, or what it links to is one
 */
export async function writeDurably(directory: string, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(directory, `.${path}.${randomUUID()}.partial`);
  const target = join(directory, path);
  const write = async () => {
    // A rename would put a file in the place of /dev/null.
    const there = await stat(target).catch(() => undefined);
    if (there?.isFile() === false) throw new Error('what has this name is no regular file');
    const handle = await open(temporary, 'wx');
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
  };
  try {
    await orNotWritten(target, write());
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** A disk that is full or takes nothing is no fault of the program: what the system says of it is told with the file that was meant. @throws `not-written` */
export async function orNotWritten<T>(path: string, work: Promise<T>): Promise<T> {
  return work.catch((cause: Error) => {
    throw new SppError('not-written', `${path} cannot be written: ${cause.message}.`, {
      hint: 'Make room on that disk, or see to it that its folder is there and may be written to.',
      cause,
    });
  });
}

function weightsOf(source: ArtifactSource, tensor: ManifestTensor): Float32Array {
  const data = source.weights.get(tensor.name);
  if (data === undefined) throw new SppError('bad-artifact', `No weights were given for ${tensor.name}.`);
  return data;
}

function pack(parts: readonly (readonly [string, Float32Array])[]): {
  bytes: Uint8Array;
  extents: ManifestLevel['extents'];
} {
  const extents: ManifestLevel['extents'] = [];
  let end = 0;
  for (const [tensor, data] of parts) {
    if (data.length === 0) continue;
    const offset = Math.ceil(end / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    extents.push({ tensor, offset, bytes: data.byteLength });
    end = offset + data.byteLength;
  }
  const bytes = new Uint8Array(end);
  for (const [tensor, data] of parts) {
    const extent = extents.find((candidate) => candidate.tensor === tensor);
    if (extent) bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), extent.offset);
  }
  return { bytes, extents };
}

function size(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}
