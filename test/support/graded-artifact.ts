/** The tiny artifact with a quality that grows with the level, for tests of choosing between levels. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Manifest, manifestSchema } from '../../schema/manifest.ts';
import { writeTinyArtifact } from './tiny-model.ts';

export const gradedQuality = (level: number) => 0.8 + level / 20;

/** Level k has quality 0.8 + k/20, with sparsities 2/3, 1/3 and 0. */
export async function writeGradedArtifact(directory: string, version = 'v1', scale = 1): Promise<Manifest> {
  await writeTinyArtifact(directory, { version, scale });
  const file = join(directory, 'manifest.json');
  const manifest = manifestSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  const levels = manifest.levels.map((level) => ({
    ...level,
    quality: { ...level.quality, value: gradedQuality(level.level) },
  }));
  await writeFile(file, JSON.stringify({ ...manifest, levels }));
  return { ...manifest, levels };
}
