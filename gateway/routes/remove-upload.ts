/**
 * The end of an upload that was broken off: its name is held, then its files go. Whatever breaks off in between, the same request again
 * goes on.
 */
import { SppError } from '../../schema/errors.ts';
import { MANIFEST_FILE } from '../../schema/manifest.ts';
import { actorOf } from '../auth/identity.ts';
import type { Call } from '../route.ts';
import { hasFiles, removeFiles, statFile } from '../storage/artifact-store.ts';
import type { VersionAddress } from '../storage/deleted-versions.ts';
import { holdOf, holdRemoved, REMOVING_MS } from '../storage/removed-uploads.ts';

/**
 * @returns false where it is for the database to say that the version goes: it was completed meanwhile, or somebody may have read it by
 *   its manifest
 * @throws `unknown-artifact` where nothing is there, and nothing was a moment ago; `not-ready` when it takes too long
 */
export async function removeUpload({ gateway, identity }: Call, address: VersionAddress): Promise<boolean> {
  const { db, bucket, steady } = gateway;
  if (!(await hasFiles(bucket, address))) {
    const [held] = await holdOf(db, address, gateway.now());
    if (held !== undefined) return true;
    throw new SppError('unknown-artifact', `There is no ${address.model}/${address.version}.`, {
      hint: 'GET /v1/artifacts/{model} lists the versions that are complete, GET /v1/uploads what there is of others.',
    });
  }
  if ((await statFile(bucket, { ...address, file: MANIFEST_FILE })) !== undefined) return false;
  const untilMs = steady.now() + REMOVING_MS;
  if (!(await holdRemoved(db, { ...address, actor: actorOf(identity), nowMs: gateway.now() }))) return false;
  await removeFiles(bucket, address, () => {
    if (steady.now() < untilMs) return;
    throw new SppError('not-ready', 'Removing the files takes longer than the name is held for it.', {
      hint: 'Send the same request again: it goes on where this one stopped.',
      retryAfterS: 1,
    });
  });
  return true;
}
