/** Who may do what: the kinds of callers, and what each route asks of them. */
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { atLeast, type OperatorRole } from '../../schema/operator-role.ts';
import type { NodeCredentials } from '../storage/nodes.ts';

export type Identity =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'client'; readonly key: ApiKeyRow }
  | { readonly kind: 'operator'; readonly name: string; readonly role: OperatorRole }
  | { readonly kind: 'scraper' }
  /** `registered` is null for whoever shows the secret that all nodes share. */
  | { readonly kind: 'node'; readonly registered: NodeCredentials | null };

/**
 * What a route asks of its caller: `client` a key, the roles an operator of at least that role, `node` a registered node's
 * own token. `artifacts` is for all nodes, and for operators who may look, `metrics` for
 * these and whoever has the secret for it.
 */
export type Access = 'open' | 'client' | OperatorRole | 'node' | 'artifacts' | 'metrics';

/** `wrong`: another kind of credentials is wanted; `weak`: the right kind, but it may not do this. */
export type Verdict = 'allowed' | 'wrong' | 'weak';

export function verdict(access: Access, identity: Identity): Verdict {
  if (access === 'open') return 'allowed';
  if (access === 'client') return identity.kind === 'client' ? 'allowed' : 'wrong';
  if (access === 'node')
    return identity.kind === 'node' && identity.registered !== null ? 'allowed' : 'wrong';
  if (access === 'artifacts')
    return identity.kind === 'node' || identity.kind === 'operator' ? 'allowed' : 'wrong';
  if (access === 'metrics')
    return identity.kind === 'scraper' || identity.kind === 'operator' ? 'allowed' : 'wrong';
  if (identity.kind !== 'operator') return 'wrong';
  return atLeast(identity.role, access) ? 'allowed' : 'weak';
}

/** The name that the audit trail has for a caller. */
export function actorOf(identity: Identity): string {
  return identity.kind === 'operator' ? identity.name : identity.kind;
}
