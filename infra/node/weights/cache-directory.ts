/** Where a node keeps what it makes of an artifact version: its file of weights, what it has measured. */
import { createHash } from 'node:crypto';
import { access, constants } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { makeDirectory } from '../../../schema/artifact/make-directory.ts';
import { type Artifact, isRemote } from '../../../schema/artifact/store.ts';

/** Raised when files of an older node would be misread. */
const FORMAT = 'v1';

/**
 * A directory for this version alone: under `chosen`, else beside the artifact where it is a directory that takes files, else
 * in the user's cache. Its name tells versions apart by all that their manifests say.
 * @returns undefined where none of these takes files
 */
export async function cacheDirectory(
  { location, manifest }: Artifact,
  chosen: string | undefined,
): Promise<string | undefined> {
  const { id, version } = manifest.model;
  const digest = createHash('sha256').update(JSON.stringify(manifest)).digest('hex').slice(0, 16);
  const userCache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  const roots =
    chosen !== undefined
      ? [chosen]
      : [...(isRemote(location) ? [] : [join(location, '.node')]), join(userCache, 'solution-path')];
  for (const root of roots) {
    const directory = join(root, `${FORMAT}-${id}-${version}-${digest}`);
    try {
      await makeDirectory(directory, 0o700);
      await access(directory, constants.W_OK);
      return directory;
    } catch {
      // The next one may do; where none does, levels are kept in memory and that is told.
    }
  }
  return undefined;
}
