/** The last step of an upload: a manifest is taken once everything it names is there, and only then is it served. */
import { SppError } from '../../schema/errors.ts';
import { type Manifest, manifestSchema } from '../../schema/manifest.ts';
import { hex, sha256 as sha256Of } from '../auth/digests.ts';
import { actorOf } from '../auth/identity.ts';
import { parseJson, readBody } from '../http/read-body.ts';
import { type Call, validated } from '../route.ts';
import {
  type ArtifactAddress,
  listFiles,
  putFile,
  removeFile,
  type StoredFile,
  statFile,
} from '../storage/artifact-store.ts';
import { activateVersion, otherManifest } from '../storage/catalog.ts';
import { mayRemove } from '../storage/free-names.ts';

export const SHA256_HEADER = 'x-content-sha256';

const MAX_MANIFEST_BYTES = 32 * 2 ** 20;
/** More would be a list nobody reads. */
const FAULTS_SHOWN = 50;

/**
 * @throws `bad-artifact` when the document is damaged or no manifest, `upload-incomplete` naming what is missing or
 * different, `conflict` when the version exists with another manifest
 */
export async function uploadManifest(
  { gateway, request, identity }: Call,
  address: ArtifactAddress,
  sha256: string,
): Promise<Response> {
  const bytes = await readBody(request, MAX_MANIFEST_BYTES);
  if (hex(await sha256Of(bytes)) !== sha256)
    throw new SppError(
      'bad-artifact',
      `${address.file} does not match the sha256 that was announced for it.`,
      {
        hint: 'The file was damaged on the way; send it again.',
      },
    );
  const manifest = validated(parseJson(bytes), manifestSchema, 'bad-artifact', 'The manifest');
  requireSameName(manifest, address);
  // What is removed from now on is not taken for what is there.
  const nowMs = gateway.now();
  const there = await statFile(gateway.bucket, address);
  if (there !== undefined && there.sha256 !== sha256) throw otherManifest(address.model, address.version);
  requireComplete(manifest, await listFiles(gateway.bucket, address));

  const created = await putFile(gateway.bucket, { address, body: bytes, bytes: bytes.length, sha256 });
  const activation = { manifest, manifestSha256: sha256, actor: actorOf(identity), nowMs };
  const changed = await activateVersion(gateway.db, activation).catch(async (error: unknown) => {
    // Removed meanwhile: a manifest whose files are gone is nothing to leave behind.
    if (created && (await mayRemove(gateway.db, address, gateway.now())))
      await removeFile(gateway.bucket, address);
    throw error;
  });
  await gateway.catalog.reload();
  return Response.json(
    { model: address.model, active: address.version, changed },
    { status: changed ? 201 : 200 },
  );
}

function requireSameName({ model }: Manifest, address: ArtifactAddress): void {
  if (model.id === address.model && model.version === address.version) return;
  throw new SppError(
    'bad-request',
    `The manifest is of ${model.id}/${model.version}, but was sent to ${address.model}/${address.version}.`,
    { hint: 'Upload under the name and version that the manifest gives.' },
  );
}

function requireComplete(manifest: Manifest, files: ReadonlyMap<string, StoredFile>): void {
  const missing: string[] = [];
  const different: string[] = [];
  for (const { path, bytes, sha256 } of manifest.files) {
    const file = files.get(path);
    if (file === undefined) missing.push(path);
    else if (file.bytes !== bytes || file.sha256 !== sha256) different.push(path);
  }
  if (missing.length + different.length === 0) return;
  const named = [
    ...missing.map((path) => `${path} is missing`),
    ...different.map((path) => `${path} differs`),
  ];
  throw new SppError('upload-incomplete', `The upload is not complete: ${named.slice(0, 3).join(', ')}.`, {
    hint: 'Send these files, then the manifest again; until then the version before goes on being served.',
    details: { missing: missing.slice(0, FAULTS_SHOWN), different: different.slice(0, FAULTS_SHOWN) },
  });
}
