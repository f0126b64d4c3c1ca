/** Writing an artifact to a directory: weights cut into chunks by level, then the graph, the manifest last. */
import { mkdir, open, rename, rm } from 'node:fs/promises';
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
  /** Dense values in path order, of every tensor that no level owns. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** Ascending; level 0 is the sparsest. */
  readonly levels: readonly (LevelMeasures & { readonly own: ReadonlyMap<string, Float32Array> })[];
}

/**
 * Writes the artifact; a reader sees all of it or, for want of a manifest, nothing.
 * @returns the manifest as written
 */
export async function writeArtifact(directory: string, source: ArtifactSource): Promise<Manifest> {
  await mkdir(directory, { recursive: true });
  await rm(join(directory, MANIFEST_FILE), { force: true });
  const files: Manifest['files'] = [];
  const write = async (path: string, bytes: Uint8Array) => {
    await writeDurably(directory, path, bytes);
    files.push({ path, bytes: bytes.length, sha256: sha256Hex(bytes) });
  };
  const owned = ownedTensors(source);
  const widths = source.levels.map((level) => level.widths);
  const nested = source.header.tensors.filter((tensor) => !owned.has(tensor.name));
  const parts = new Map(
    nested.map((tensor) => [tensor.name, encodeTensor(tensor, widths, weightsOf(source, tensor))]),
  );
  await write('graph.onnx', source.graph);
  const levels: ManifestLevel[] = [];
  for (const [level, { own, ...measures }] of source.levels.entries()) {
    const number = String(level).padStart(2, '0');
    const chunk = pack(
      nested.map((tensor) => [tensor.name, parts.get(tensor.name)?.[level] ?? new Float32Array(0)]),
    );
    await write(`weights-${number}.bin`, chunk.bytes);
    const entry: ManifestLevel = {
      level,
      ...measures,
      bytes: 0,
      chunk: `weights-${number}.bin`,
      extents: chunk.extents,
    };
    if (own.size > 0) {
      const packed = pack([...own]);
      await write(`own-${number}.bin`, packed.bytes);
      entry.own = { path: `own-${number}.bin`, extents: packed.extents };
    }
    entry.bytes = source.header.tensors.reduce(
      (sum, tensor) => sum + 4 * size(levelDims(tensor, entry.widths)),
      0,
    );
    levels.push(entry);
  }
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

/** Writes beside, syncs, renames: a crash leaves the old file or the new one, never half. */
export async function writeDurably(directory: string, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(directory, `.${path}.partial`);
  const handle = await open(temporary, 'w');
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, join(directory, path));
}

/** A tensor is nested for all levels or owned by all: mixed would make a level's prefix hold what it never reads. */
function ownedTensors(source: ArtifactSource): Set<string> {
  const owned = new Set(source.levels.flatMap((level) => [...level.own.keys()]));
  for (const name of owned) {
    const missing = source.levels.findIndex((level) => !level.own.has(name));
    if (missing >= 0)
      throw new SppError('bad-artifact', `${name} is owned by some levels but not by level ${missing}.`);
  }
  return owned;
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
