/** What the bucket holds of each version, complete or not, as its listing tells it. */
import { ARTIFACTS, type ArtifactAddress } from './artifact-store.ts';
import { ofStore } from './store-failure.ts';

export interface VersionFiles extends Omit<ArtifactAddress, 'file'> {
  files: number;
  bytes: number;
  lastWrittenAtMs: number;
}

export interface FilesPage {
  /** In the order of the bucket's keys. */
  readonly versions: readonly VersionFiles[];
  /** Whether others may follow. */
  readonly more: boolean;
}

/** Of up to 1,000 files each: more would keep one request waiting for seconds. */
const MAX_LISTINGS = 10;
const KEY = /^([^/]+)\/([^/]+)\/[^/]+$/;

export function nameOf({ model, version }: Omit<ArtifactAddress, 'file'>): string {
  return `${model}/${version}`;
}

/**
 * As many versions as a bounded number of listings tells whole; of one that has more files than that, as many of them.
 * @param before only versions behind this name, whatever is there of it
 */
export async function filesByVersion(bucket: R2Bucket, before: string | undefined): Promise<FilesPage> {
  const versions = new Map<string, VersionFiles>();
  // '0' is what follows '/', so that nothing under the name itself is behind this.
  let startAfter = before === undefined ? undefined : `${ARTIFACTS}${before}0`;
  let more = true;
  for (let listings = 0; more && listings < MAX_LISTINGS; listings++) {
    const listing = bucket.list({ prefix: ARTIFACTS, ...(startAfter === undefined ? {} : { startAfter }) });
    const { objects, truncated } = await ofStore('bucket', listing);
    for (const object of objects) count(versions, object);
    startAfter = objects.at(-1)?.key ?? startAfter;
    more = truncated;
  }
  const found = [...versions.values()];
  // More files of the last one may follow.
  return { versions: more && found.length > 1 ? found.slice(0, -1) : found, more };
}

function count(versions: Map<string, VersionFiles>, { key, size, uploaded }: R2Object): void {
  const [, model, version] = KEY.exec(key.slice(ARTIFACTS.length)) ?? [];
  if (model === undefined || version === undefined) return;
  const name = nameOf({ model, version });
  const entry = versions.get(name) ?? { model, version, files: 0, bytes: 0, lastWrittenAtMs: 0 };
  entry.files++;
  entry.bytes += size;
  entry.lastWrittenAtMs = Math.max(entry.lastWrittenAtMs, uploaded.getTime());
  versions.set(name, entry);
}
