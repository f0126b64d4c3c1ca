/** The bundled artifact in the local gateway, as long as nobody has decided otherwise. */
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { uploadArtifact } from '../../trainer/upload/upload-artifact.ts';

export interface UploadOnce {
  /** The gateway's. */
  readonly url: string;
  readonly dir: string;
  readonly manifest: Manifest;
  /** The operator's. */
  readonly token: string;
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
}

/**
 * Through the code that uploads anywhere else; a version that is there already costs one request, and does not take the place of one that
 * was uploaded since. One that was deleted stays so.
 */
export async function uploadOnce({ url, dir, manifest, token, signal, log }: UploadOnce): Promise<void> {
  const { id, version } = manifest.model;
  const index = await fetch(`${url}/v1/artifacts/${id}`, {
    headers: { authorization: `Bearer ${token}` },
    signal,
  });
  const { active, versions } = indexSchema.parse(await index.json());
  if (active === version || versions.some((there) => there.version === version)) {
    const other = active === version ? '' : `; ${active} is active`;
    log(`${id} ${version} is uploaded already${other}`);
    return;
  }
  try {
    const { sentFiles, skippedFiles } = await uploadArtifact({ dir, url, token, signal });
    log(`uploaded ${id} ${version}: ${sentFiles} files sent, ${skippedFiles} were there`);
  } catch (error) {
    const wasDeleted = error instanceof SppError && error.details?.deletedAtMs !== undefined;
    if (!wasDeleted || active === null) throw error;
    log(`${id} ${version} was deleted; ${active} is active`);
  }
}

const indexSchema = z.looseObject({
  active: z.string().nullable(),
  versions: z.array(z.looseObject({ version: z.string() })),
});
