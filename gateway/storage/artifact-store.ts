/** Artifact files in R2. A file is written once: the same content again is no change, other content is refused. */
import { SppError } from '../../schema/errors.ts';
import { MANIFEST_FILE } from '../../schema/manifest.ts';
import { ofStore, StoreFailure } from './store-failure.ts';

export interface ArtifactAddress {
  readonly model: string;
  readonly version: string;
  readonly file: string;
}

export interface StoredFile {
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

export interface PutFile extends StoredFile {
  readonly address: ArtifactAddress;
  readonly body: ReadableStream | Uint8Array<ArrayBuffer>;
}

/** What all keys of files begin with. */
export const ARTIFACTS = 'artifacts/';

function objectKey({ model, version, file }: ArtifactAddress): string {
  return `${ARTIFACTS}${model}/${version}/${file}`;
}

/** What lies at an address, undefined when nothing does. */
export async function statFile(bucket: R2Bucket, address: ArtifactAddress): Promise<StoredFile | undefined> {
  const object = await ofStore('bucket', bucket.head(objectKey(address)));
  return object === null ? undefined : storedFile(object);
}

/** A file, or a part of it; null when nothing is there. */
export function getFile(
  bucket: R2Bucket,
  address: ArtifactAddress,
  range: { readonly offset: number; readonly length: number } | undefined,
): Promise<R2ObjectBody | null> {
  return ofStore('bucket', bucket.get(objectKey(address), range === undefined ? {} : { range }));
}

/**
 * Streams a file into the bucket, which checks its sha256 on the way.
 * @returns false when the very same file was there already
 * @throws `conflict` when another one is; `bad-artifact` when the bytes are not what was announced
 */
export async function putFile(bucket: R2Bucket, file: PutFile): Promise<boolean> {
  const { address, body, bytes, sha256 } = file;
  const unchanged = async () => {
    const there = await statFile(bucket, address);
    if (there === undefined) return false;
    if (there.sha256 === sha256 && there.bytes === bytes) return true;
    throw new SppError(
      'conflict',
      `${address.model}/${address.version}/${address.file} exists with other content.`,
      {
        hint: 'Files of a version do not change once they are uploaded; build under another version.',
        details: { file: address.file, sha256: there.sha256 },
      },
    );
  };
  if (await unchanged()) {
    if (body instanceof ReadableStream) await body.cancel();
    return false;
  }
  const object = await bucket
    .put(objectKey(address), body, {
      sha256,
      customMetadata: { sha256 },
      // Two uploads of one file at once: the second must not replace the first.
      onlyIf: { etagDoesNotMatch: '*' },
    })
    .catch((cause: unknown) => {
      if (!(cause instanceof Error && /checksum/i.test(cause.message)))
        throw new StoreFailure('the bucket failed', { cause });
      throw new SppError(
        'bad-artifact',
        `${address.file} does not match the sha256 that was announced for it.`,
        {
          hint: 'The file was damaged on the way; send it again.',
          cause,
        },
      );
    });
  if (object !== null) return true;
  if (await unchanged()) return false;
  throw new SppError('conflict', `${address.file} was written and removed at this moment.`, {
    hint: 'Send it again.',
    retryAfterS: 1,
  });
}

/** Files of a version by name. */
export async function listFiles(
  bucket: R2Bucket,
  address: Omit<ArtifactAddress, 'file'>,
): Promise<ReadonlyMap<string, StoredFile>> {
  const prefix = objectKey({ ...address, file: '' });
  const files = new Map<string, StoredFile>();
  let cursor: string | undefined;
  do {
    const listing = bucket.list({
      prefix,
      include: ['customMetadata'],
      ...(cursor === undefined ? {} : { cursor }),
    });
    const page = await ofStore('bucket', listing);
    for (const object of page.objects) files.set(object.key.slice(prefix.length), storedFile(object));
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor !== undefined);
  return files;
}

export async function hasFiles(bucket: R2Bucket, address: Omit<ArtifactAddress, 'file'>): Promise<boolean> {
  const prefix = objectKey({ ...address, file: '' });
  const { objects } = await ofStore('bucket', bucket.list({ prefix, limit: 1 }));
  return objects.length > 0;
}

export async function removeFile(bucket: R2Bucket, address: ArtifactAddress): Promise<void> {
  await ofStore('bucket', bucket.delete(objectKey(address)));
}

/**
 * Removes what there is of a version, the manifest first: without it nobody begins to read the rest.
 * @param requireTime throws when nothing more may be removed
 */
export async function removeFiles(
  bucket: R2Bucket,
  address: Omit<ArtifactAddress, 'file'>,
  requireTime: () => void = () => {},
): Promise<void> {
  requireTime();
  await removeFile(bucket, { ...address, file: MANIFEST_FILE });
  const prefix = objectKey({ ...address, file: '' });
  for (let more = true; more; ) {
    // From the beginning each time: what was listed before is gone.
    const { objects, truncated } = await ofStore('bucket', bucket.list({ prefix }));
    requireTime();
    if (objects.length > 0) await ofStore('bucket', bucket.delete(objects.map(({ key }) => key)));
    more = truncated;
  }
}

export function storedFile(object: R2Object): StoredFile {
  return { bytes: object.size, sha256: object.customMetadata?.sha256 ?? '' };
}
