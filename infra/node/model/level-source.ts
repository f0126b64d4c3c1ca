/** Levels as whole ONNX models, put together from an artifact's graph and the chunks of the level's prefix. */
import { assembleLevel, filesOfLevel, levelOf } from '../../../schema/artifact/level-model.ts';
import type { Artifact } from '../../../schema/artifact/store.ts';
import type { Manifest } from '../../../schema/manifest.ts';
import { unavailable } from './level-fault.ts';

export interface WholeLevels {
  readonly manifest: Manifest;
  /**
   * The whole model of a level, its weights inside.
   * @throws `unknown-level`; `level-unavailable` naming the file that is damaged, missing or out of reach
   */
  model(level: number): Promise<Uint8Array>;
  /** Of the graph and the chunks that a level is put together from, which are kept for other levels. */
  sharedBytes(level: number): number;
  /** Forgets chunks that none of these levels is made of. */
  keep(levels: readonly number[]): void;
}

/**
 * Levels of an opened artifact. Chunks are shared by all levels above them, so what has been read and checked is kept;
 * until no level is in memory that has it; what could not be read is not, so that the next call tries again.
 * @param retryAfterS how long a failure lasts for callers: trying sooner would hash the same damaged bytes once more
 */
export function artifactLevels(artifact: Artifact, retryAfterS: number): WholeLevels {
  const { manifest } = artifact;
  const reads = new Map<string, Promise<Uint8Array>>();
  const shared = new Set([manifest.graph, ...manifest.levels.map((level) => level.chunk)]);

  const read = (path: string): Promise<Uint8Array> => {
    if (!shared.has(path)) return artifact.read(path);
    const known = reads.get(path);
    if (known !== undefined) return known;
    const reading = artifact.read(path);
    reads.set(path, reading);
    reading.catch(() => reads.delete(path));
    return reading;
  };

  const sizes = new Map(manifest.files.map(({ path, bytes }) => [path, bytes]));
  const chunks = manifest.levels.map(({ chunk }) => chunk);

  return {
    manifest,
    sharedBytes(level) {
      const files = new Set(filesOfLevel(manifest, level));
      const last = chunks.findLastIndex((chunk) => files.has(chunk));
      // Those in between that it owns itself, too: of all levels in memory the largest counts, and others may have them.
      const paths = new Set([manifest.graph, ...chunks.slice(0, last + 1)]);
      return [...paths].reduce((sum, path) => sum + (sizes.get(path) ?? 0), 0);
    },
    keep(levels) {
      const needed = new Set([manifest.graph, ...levels.flatMap((level) => filesOfLevel(manifest, level))]);
      for (const path of [...reads.keys()]) if (!needed.has(path)) reads.delete(path);
    },
    async model(level) {
      levelOf(manifest, level);
      try {
        const graph = await read(manifest.graph);
        const paths = filesOfLevel(manifest, level);
        const files = await Promise.all(paths.map(async (path) => [path, await read(path)] as const));
        return assembleLevel(manifest, graph, level, new Map(files));
      } catch (cause) {
        throw unavailable(manifest, level, cause, retryAfterS);
      }
    },
  };
}
