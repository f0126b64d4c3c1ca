/** Which side of a canary a request is on. The same request id is always on the same side, so a repeated request stays. */
import type { Canary } from '../../schema/policy.ts';

/** An even draw from [0, 1), the same for the same text (FNV-1a, then the finalizer of MurmurHash3). */
export function drawFor(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** The policy that governs a request: the one in force, or, for the rest of its canary share, the one before. */
export function governing<T extends { readonly document: { readonly canary: Canary | null } }>(
  policy: T,
  baseline: T | undefined,
  requestId: string,
): T {
  const { canary } = policy.document;
  if (canary?.kind !== 'policy' || baseline === undefined) return policy;
  return drawFor(`policy/${requestId}`) < canary.share ? policy : baseline;
}

/** The artifact version that the canary sends a request to; undefined where it says nothing of the model. */
export function canaryVersion(canary: Canary | null, model: string, requestId: string): string | undefined {
  if (canary?.kind !== 'artifact' || canary.model !== model) return undefined;
  return drawFor(`artifact/${requestId}`) < canary.share ? canary.candidate : canary.baseline;
}
