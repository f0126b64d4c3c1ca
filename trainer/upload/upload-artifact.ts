/** Uploads an artifact: checked here first, only what is missing there, the manifest last. Safe to repeat. */
import { openAsBlob } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openArtifact, sha256Hex } from '../../schema/artifact/store.ts';
import { SppError } from '../../schema/errors.ts';
import { MANIFEST_FILE } from '../../schema/manifest.ts';
import { gatewayClient } from './gateway-client.ts';

export interface UploadRequest {
  readonly dir: string;
  /** The gateway's origin. */
  readonly url: string;
  /** The operator's. */
  readonly token: string;
  readonly onProgress?: (progress: UploadProgress) => void;
  readonly signal?: AbortSignal;
  /** First pause before trying again. */
  readonly pauseMs?: number;
}

export interface UploadProgress {
  /** What was just settled. */
  readonly file: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface UploadResult {
  readonly model: string;
  readonly version: string;
  readonly sentFiles: number;
  readonly sentBytes: number;
  /** Files that were there already. */
  readonly skippedFiles: number;
  /** Whether this upload made the version active; false when it was so before. */
  readonly activated: boolean;
}

/**
 * @throws `bad-artifact` before anything is sent when a file is damaged; `conflict` when the version exists there with
 *   other content; `unauthorized`; `not-ready` when the gateway cannot be reached
 */
export async function uploadArtifact(request: UploadRequest): Promise<UploadResult> {
  const { dir, onProgress = () => {} } = request;
  // A wrong URL is said before every byte is read.
  const client = gatewayClient(request);
  const artifact = await openArtifact(dir);
  const { files, model } = artifact.manifest;
  for (const { path } of files) {
    request.signal?.throwIfAborted();
    await artifact.read(path);
  }

  const address = (path: string) => `/v1/artifacts/${model.id}/${model.version}/${path}`;
  const totalBytes = files.reduce((sum, file) => sum + file.bytes, 0);
  let [doneBytes, sentBytes, sentFiles] = [0, 0, 0];
  for (const { path, bytes, sha256 } of files) {
    const there = await client.head(address(path));
    if (there !== undefined && there.sha256 !== sha256)
      throw new SppError(
        'conflict',
        `${model.id}/${model.version}/${path} exists there with other content.`,
        {
          hint: 'Files of a version do not change once they are uploaded; build under another version.',
        },
      );
    if (there === undefined) {
      const created = await client.put(
        address(path),
        await openAsBlob(join(dir, path)),
        sha256,
        'application/octet-stream',
      );
      if (created === 201) {
        sentFiles++;
        sentBytes += bytes;
      }
    }
    doneBytes += bytes;
    onProgress({ file: path, doneBytes, totalBytes });
  }
  const manifest = await readFile(join(dir, MANIFEST_FILE));
  const status = await client.put(
    address(MANIFEST_FILE),
    new Blob([manifest]),
    sha256Hex(manifest),
    'application/json',
  );
  return {
    model: model.id,
    version: model.version,
    sentFiles,
    sentBytes,
    skippedFiles: files.length - sentFiles,
    activated: status === 201,
  };
}
