/**
 * The end of a version: the database says that it is gone, then its files go. Whatever breaks off in between, nobody is offered it, and
 * the same request again finishes it.
 */
import { SppError } from '../../schema/errors.ts';
import { actorOf } from '../auth/identity.ts';
import { routedVersion } from '../inference/routing.ts';
import type { Call } from '../route.ts';
import { removeFiles } from '../storage/artifact-store.ts';
import {
  type Holder,
  isKnownVersion,
  markDeleted,
  type VersionAddress,
} from '../storage/deleted-versions.ts';
import { removeUpload } from './remove-upload.ts';

type Hold = Holder | { readonly kind: 'fleet'; readonly until: string };

/**
 * @throws `in-use` naming what holds it; `unknown-artifact` where nothing is there, and nothing was
 */
export async function deleteVersion(call: Call, address: VersionAddress): Promise<Response> {
  const { gateway, identity } = call;
  const { db, bucket } = gateway;
  if (!(await isKnownVersion(db, address)) && (await removeUpload(call, address)))
    return new Response(null, { status: 204 });
  const served = await servedMeanwhile(call, address);
  if (served !== undefined) throw inUse(address, [served]);
  const held = await markDeleted(db, { ...address, actor: actorOf(identity), nowMs: gateway.now() });
  if (held.length > 0) throw inUse(address, held);
  await gateway.catalog.reload();
  await removeFiles(bucket, address);
  return new Response(null, { status: 204 });
}

/** Until a node serves the active version, requests go to one before: without that, all of them would fail. */
async function servedMeanwhile(
  { gateway, background }: Call,
  { model: id, version }: VersionAddress,
): Promise<Hold | undefined> {
  const model = (await gateway.catalog.within(0)).get(id);
  if (model === undefined || model.activeVersion === version) return undefined;
  await gateway.roster.reload();
  await gateway.fleet.refresh(background);
  const routed = routedVersion(model, gateway.fleet);
  return routed.version === version ? { kind: 'fleet', until: model.activeVersion } : undefined;
}

function inUse({ model, version }: VersionAddress, heldBy: readonly Hold[]): SppError {
  const told = heldBy.map(reasonOf);
  return new SppError('in-use', `${model}/${version} ${told.map(([reason]) => reason).join(', and ')}.`, {
    hint: told.map(([, hint]) => hint).join(' '),
    details: { heldBy },
  });
}

/** @returns what is said of the version, and the way out */
function reasonOf(hold: Hold): readonly [string, string] {
  if (hold.kind === 'active')
    return [
      'is the active version',
      'Upload another version, or send the manifest of an earlier one again, which makes that one active.',
    ];
  if (hold.kind === 'policy')
    return [
      `is the ${hold.side} of the canary of policy version ${hold.version}`,
      'Put a policy without this canary in force.',
    ];
  return [
    `is what requests go to until a node serves ${hold.until}`,
    'GET /v1/nodes tells what each node serves.',
  ];
}
