/** Artifacts: written by operators file by file, the manifest last; read by nodes; deleted a version at a time. */
import { type ProblemCode, SppError } from '../../schema/errors.ts';
import {
  artifactFileSchema,
  artifactVersionSchema,
  MANIFEST_FILE,
  modelIdSchema,
} from '../../schema/manifest.ts';
import { parseRange } from '../http/byte-range.ts';
import type { Call, Route } from '../route.ts';
import { type ArtifactAddress, getFile, putFile, statFile, storedFile } from '../storage/artifact-store.ts';
import type { Catalog } from '../storage/catalog.ts';
import { requireNameFree } from '../storage/free-names.ts';
import { deleteVersion } from './delete-version.ts';
import { nextOf, numberedPageSchema, pageOf } from './page.ts';
import { SHA256_HEADER, uploadManifest } from './upload-manifest.ts';

const NAMES_HINT = 'Names are of a-z, 0-9, dot, dash and underscore.';
const FILE_PATH = '/v1/artifacts/:model/:version/:file';

export const artifactRoutes: readonly Route[] = [
  { method: 'GET', path: '/v1/artifacts/:model', access: 'artifacts', handle: readIndex },
  // HEAD comes here too.
  { method: 'GET', path: FILE_PATH, access: 'artifacts', handle: readFile },
  { method: 'PUT', path: FILE_PATH, access: 'operator', handle: writeFile },
  { method: 'DELETE', path: '/v1/artifacts/:model/:version', access: 'operator', handle: removeVersion },
];

/** What is there of a model; a model that was never uploaded has no active version yet, which nodes may wait for. */
async function readIndex({ gateway, param, request, background }: Call): Promise<Response> {
  const id = modelIdSchema.safeParse(param('model'));
  if (!id.success)
    throw new SppError('unknown-model', 'That is not the name of a model.', { hint: NAMES_HINT });
  const model = (await gateway.catalog.get(background)).get(id.data);
  const { limit, before } = pageOf(request, numberedPageSchema);
  const versions = [...(model?.versions.values() ?? [])]
    .filter(({ ordinal }) => before === undefined || ordinal < before)
    .sort((a, b) => b.ordinal - a.ordinal)
    .slice(0, limit);
  return Response.json({
    model: id.data,
    active: model?.activeVersion ?? null,
    versions: versions.map(({ version, createdAtMs, bytes, manifestSha256 }) => ({
      version,
      createdAtMs,
      bytes,
      manifestSha256,
    })),
    next: nextOf(versions, limit, ({ ordinal }) => ordinal),
  });
}

/**
 * Whoever completes an upload may look at what there is of it. To nodes, and to whatever keeps answers, a file is there with its version:
 * before that it may be removed, and another be put in its place.
 */
async function readFile(call: Call): Promise<Response> {
  const { gateway, request, identity } = call;
  const address = readAddress(call, 'unknown-artifact');
  const complete = await isComplete(call, address);
  if (!complete && identity.kind !== 'operator') throw unknownArtifact(address);
  const stat = await statFile(gateway.bucket, address);
  if (stat === undefined) throw unknownArtifact(address);
  const etag = `"${stat.sha256}"`;
  const headers = new Headers({
    'content-type': address.file === MANIFEST_FILE ? 'application/json' : 'application/octet-stream',
    'accept-ranges': 'bytes',
    // Files of a version never change.
    'cache-control': complete ? 'private, max-age=31536000, immutable' : 'no-store',
    etag,
    [SHA256_HEADER]: stat.sha256,
  });
  if (matchesAny(request.headers.get('if-none-match'), etag)) {
    // Of a body that is not sent nothing is told but which one it is.
    headers.delete('content-type');
    return new Response(null, { status: 304, headers });
  }
  if (request.method === 'HEAD') {
    headers.set('content-length', String(stat.bytes));
    return new Response(null, { headers });
  }
  const ifRange = request.headers.get('if-range');
  const wanted = ifRange === null || ifRange === etag ? request.headers.get('range') : null;
  const range = parseRange(wanted, stat.bytes);
  const object = await getFile(gateway.bucket, address, range);
  if (object === null || storedFile(object).sha256 !== stat.sha256) throw unknownArtifact(address);
  headers.set('content-length', String(range?.length ?? stat.bytes));
  if (range === undefined) return new Response(object.body, { headers });
  const last = range.offset + range.length - 1;
  headers.set('content-range', `bytes ${range.offset}-${last}/${stat.bytes}`);
  return new Response(object.body, { status: 206, headers });
}

/** A version that this isolate's copy of the catalog does not have may have been completed elsewhere a moment ago. */
async function isComplete(
  { gateway, background }: Call,
  { model, version }: ArtifactAddress,
): Promise<boolean> {
  const isIn = (catalog: Catalog) => catalog.get(model)?.versions.has(version) ?? false;
  return isIn(await gateway.catalog.get(background)) || isIn(await gateway.catalog.within(0));
}

async function writeFile(call: Call): Promise<Response> {
  const { gateway, request } = call;
  const address = readAddress(call, 'bad-request');
  const sha256 = announcedSha256(request);
  await requireNameFree(gateway.db, address, gateway.now());
  if (address.file === MANIFEST_FILE) return uploadManifest(call, address, sha256);

  const length = request.headers.get('content-length');
  if (length === null || !/^\d{1,15}$/.test(length))
    throw new SppError('bad-request', 'An upload needs a Content-Length.', {
      hint: 'Send the file with its length known, not chunked.',
    });
  const bytes = Number(length);
  const limit = gateway.settings.maxArtifactFileBytes;
  if (bytes > limit)
    throw new SppError('body-too-large', `${address.file} has ${bytes} bytes; the limit is ${limit}.`, {
      hint: 'MAX_ARTIFACT_FILE_BYTES of the deployment says how large a file may be.',
      details: { maxArtifactFileBytes: limit },
    });
  const body = request.body ?? new Uint8Array(0);
  const created = await putFile(gateway.bucket, { address, body, bytes, sha256 });
  return Response.json({ ...address, bytes, sha256 }, { status: created ? 201 : 200 });
}

function removeVersion(call: Call): Promise<Response> {
  const { model, version } = readAddress(call, 'unknown-artifact', MANIFEST_FILE);
  return deleteVersion(call, { model, version });
}

/** @throws `invalid` for names that no artifact can have */
function readAddress({ param }: Call, invalid: ProblemCode, name: string = param('file')): ArtifactAddress {
  const parts = {
    model: modelIdSchema.safeParse(param('model')),
    version: artifactVersionSchema.safeParse(param('version')),
    file: artifactFileSchema.safeParse(name),
  };
  const [model, version, file] = [parts.model.data, parts.version.data, parts.file.data];
  if (model === undefined || version === undefined || file === undefined) {
    const [part] = Object.entries(parts).find(([, { success }]) => !success) ?? ['address'];
    throw new SppError(invalid, `This is not the name of an artifact ${part}.`, {
      hint: NAMES_HINT,
    });
  }
  return { model, version, file };
}

function announcedSha256(request: Request): string {
  const sha256 = request.headers.get(SHA256_HEADER)?.trim().toLowerCase() ?? '';
  if (!/^[0-9a-f]{64}$/.test(sha256))
    throw new SppError('bad-header', `An upload needs ${SHA256_HEADER}, the file's sha256 in hex.`, {
      hint: '`sha256sum` tells it, and `trainer upload` sends it.',
      details: { header: SHA256_HEADER },
    });
  return sha256;
}

function matchesAny(ifNoneMatch: string | null, etag: string): boolean {
  const tags = ifNoneMatch?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  return tags.includes('*') || tags.includes(etag);
}

function unknownArtifact({ model, version, file }: ArtifactAddress): SppError {
  return new SppError('unknown-artifact', `There is no ${model}/${version}/${file}.`, {
    hint: 'GET /v1/artifacts/{model} lists the versions that are complete.',
  });
}
