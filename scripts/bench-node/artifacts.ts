/** Artifacts that benchmarks make for themselves, kept under a directory so that the next run finds them. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { MANIFEST_FILE } from '../../schema/manifest.ts';
import { evenShares, vitSizes, writeRandomVit } from './random-vit.ts';

export interface BenchArtifact {
  readonly size: keyof typeof vitSizes;
  readonly levels: number;
  /** Share of the units that the sparsest level keeps. */
  readonly from: number;
  /** Whether levels own their output matrices, as a path's do that was compensated. */
  readonly own: boolean;
}

/** @returns its directory */
export async function benchArtifact(
  root: string,
  { size, levels, from, own }: BenchArtifact,
): Promise<string> {
  const id = `vit-${size}-${levels}-${Math.round(from * 100)}${own ? '-own' : ''}`;
  const directory = join(root, id);
  const there = await access(join(directory, MANIFEST_FILE)).then(
    () => true,
    () => false,
  );
  if (!there) {
    process.stderr.write(`making ${id} with random weights\n`);
    await writeRandomVit(directory, { id, size: vitSizes[size], shares: evenShares(levels, from), own });
  }
  return directory;
}
