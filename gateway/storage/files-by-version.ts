/** What the bucket holds of each version, complete or not, as its listing tells it. */
import { ARTIFACTS, type ArtifactAddress } from './artifact-store.ts';
import { ofStore } from './store-failure.ts';

export interface VersionFiles extends Omit<ArtifactAddress, 'file'> {
  files: number;
  bytes: number;
  /** There may be more of both: a request counts no further. */
  isLeast: boolean;
  lastWrittenAtMs: number;
}

export interface FilesPage {
  /** In the order of the bucket's keys. */
  readonly versions: readonly VersionFiles[];
  /** What others may follow behind; undefined where none do. */
  readonly next: string | undefined;
}

/** Of up to 1,000 files each: more would keep one request waiting for seconds. */
const MAX_LISTINGS = 10;
const KEY = /^([^/]+)\/([^/]+)\/[^/]+$/;

export function nameOf({ model, version }: Omit<ArtifactAddress, 'file'>): string {
  return `${model}/${version}`;
}

/** With it begins what stands for a key and not for a version: what no version's files are among for longer than a request lists. */
const KEY_MARK = '/';

/** '0' is what follows '/', so that nothing under a name itself is behind this. */
function startAfterOf(before: string): string {
  return before.startsWith(KEY_MARK) ? `${ARTIFACTS}${before.slice(1)}` : `${ARTIFACTS}${before}0`;
}

/**
 * As many versions as a bounded number of listings tells whole; of one that they do not come to the end of, what they have seen.
 * @param before only versions behind this name, whatever is there of it, or behind what `next` said
 */
export async function filesByVersion(bucket: R2Bucket, before: string | undefined): Promise<FilesPage> {
  const versions = new Map<string, VersionFiles>();
  let startAfter = before === undefined ? undefined : startAfterOf(before);
  let more = true;
  for (let listings = 0; more && listings < MAX_LISTINGS; listings++) {
    const listing = bucket.list({ prefix: ARTIFACTS, ...(startAfter === undefined ? {} : { startAfter }) });
    const { objects, truncated } = await ofStore('bucket', listing);
    for (const object of objects) count(versions, object);
    startAfter = objects.at(-1)?.key ?? startAfter;
    more = truncated;
  }
  const all = [...versions.values()];
  // More files of the last one may follow.
  const found = more && all.length > 1 ? all.slice(0, -1) : all;
  const last = found.at(-1);
  if (last !== undefined) last.isLeast = more && found === all;
  const reached = `${KEY_MARK}${startAfter?.slice(ARTIFACTS.length) ?? ''}`;
  return { versions: found, next: more ? (last === undefined ? reached : nameOf(last)) : undefined };
}

function count(versions: Map<string, VersionFiles>, { key, size, uploaded }: R2Object): void {
  const [, model, version] = KEY.exec(key.slice(ARTIFACTS.length)) ?? [];
  if (model === undefined || version === undefined) return;
  const name = nameOf({ model, version });
  const entry = versions.get(name) ?? {
    model,
    version,
    files: 0,
    bytes: 0,
    isLeast: false,
    lastWrittenAtMs: 0,
  };
  entry.files++;
  entry.bytes += size;
  entry.lastWrittenAtMs = Math.max(entry.lastWrittenAtMs, uploaded.getTime());
  versions.set(name, entry);
}
