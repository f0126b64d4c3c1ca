/** Registered nodes: where each is, its token as a salted and peppered hash, and what it last told of itself. */
import { and, asc, eq, getTableColumns, gt, isNull, lt, or } from 'drizzle-orm';
import { type NodeRow, nodes } from '../../schema/db/tables.ts';
import { SppError } from '../../schema/errors.ts';
import type { NewNode, NodeChanges } from '../../schema/node-registration.ts';
import type { NodeReport } from '../../schema/node-report.ts';
import { newToken } from '../auth/secret-tokens.ts';
import { auditOfChange, auditStatement } from './audit.ts';
import { type Database, isTaken } from './database.ts';
import { fieldChanges, untilChanged } from './field-changes.ts';
import {
  neverRotated,
  requireRotated,
  rotation,
  rotationDetail,
  type SecretColumns,
  withoutSecrets,
} from './rotation.ts';

/** What a node's token is proved by. */
export type NodeCredentials = Pick<NodeRow, 'name'> & SecretColumns;

interface NodeChange {
  readonly name: string;
  readonly actor: string;
  readonly nowMs: number;
}

/**
 * @returns the node's token, which nothing can show again, and its row
 * @throws `conflict` when the name or the address is taken
 */
export async function registerNode(
  db: Database,
  pepper: string,
  { name, url, class: nodeClass, actor, nowMs }: NewNode & NodeChange,
): Promise<{ token: string; row: NodeRow }> {
  const { token, prefix, salt, hash } = await newToken('nd', pepper);
  const row: NodeRow = {
    name,
    url,
    nodeClass,
    draining: false,
    prefix,
    salt,
    hash,
    createdAtMs: nowMs,
    heardAtMs: null,
    report: null,
    ...neverRotated,
  };
  try {
    await db.batch([
      db.insert(nodes).values(row),
      auditStatement(db, {
        atMs: nowMs,
        actor,
        action: 'node.register',
        target: name,
        detail: { url, class: nodeClass, prefix },
      }),
    ]);
  } catch (error) {
    if (isTaken(error)) throw taken('A node of this name, or at this address, is registered already.');
    throw error;
  }
  return { token, row };
}

export function taken(message: string): SppError {
  return new SppError('conflict', message, {
    hint: 'GET /v1/nodes lists them; DELETE the other one first to move or replace it.',
  });
}

export async function findNodeCredentials(db: Database, prefix: string): Promise<NodeCredentials | null> {
  const [row] = await db
    .select({
      name: nodes.name,
      prefix: nodes.prefix,
      salt: nodes.salt,
      hash: nodes.hash,
      previousSalt: nodes.previousSalt,
      previousHash: nodes.previousHash,
      previousUntilMs: nodes.previousUntilMs,
      earlierSecrets: nodes.earlierSecrets,
    })
    .from(nodes)
    .where(eq(nodes.prefix, prefix));
  return row ?? null;
}

/** By name. */
export async function listNodes(db: Database): Promise<NodeRow[]> {
  return db.select().from(nodes).orderBy(asc(nodes.name));
}

/** @throws `not-found` */
export async function nodeByName(db: Database, name: string): Promise<NodeRow> {
  const [row] = await db.select().from(nodes).where(eq(nodes.name, name));
  if (row === undefined)
    throw new SppError('not-found', `No node ${JSON.stringify(name.slice(0, 64))} is registered.`, {
      hint: 'GET /v1/nodes lists them; those of the NODES setting are changed there.',
    });
  return row;
}

/**
 * Changes what an operator may set; the trail keeps what each field was. Of several at once each is made to what the one before left.
 * @throws `not-found`; `conflict` where others were always quicker
 */
export function changeNode(db: Database, change: NodeChange, changes: NodeChanges): Promise<NodeRow> {
  return untilChanged('node', async () => tryChange(db, change, changes, await nodeByName(db, change.name)));
}

/** @returns undefined where what it changes is no longer as in `row`: nothing was written */
async function tryChange(
  db: Database,
  { name, actor, nowMs }: NodeChange,
  { draining, class: nodeClass }: NodeChanges,
  row: NodeRow,
): Promise<NodeRow | undefined> {
  const { set, unchanged, detail } = fieldChanges(getTableColumns(nodes), row, { draining, nodeClass });
  if (Object.keys(set).length === 0) return row;
  // One that was registered anew under the name meanwhile is another.
  const here = and(eq(nodes.name, name), eq(nodes.prefix, row.prefix), ...unchanged);
  const entry = { atMs: nowMs, actor, action: 'node.change', target: name, detail };
  const [, [changed]] = await db.batch([
    auditOfChange(db, entry, nodes, here),
    db.update(nodes).set(set).where(here).returning(),
  ]);
  return changed;
}

/**
 * Gives a node's token a new secret, beside which those before are good for as long as `rotation` says.
 * @throws `not-found`; `conflict` where too many secrets are good still
 */
export async function rotateNodeToken(
  db: Database,
  pepper: string,
  { name, actor, nowMs, overlapS }: NodeChange & { readonly overlapS: number },
): Promise<{ token: string; row: NodeRow }> {
  const row = await nodeByName(db, name);
  const { token, set } = await rotation('nd', pepper, row, { nowMs, overlapS });
  const unchanged = and(eq(nodes.name, name), eq(nodes.hash, row.hash));
  const entry = {
    atMs: nowMs,
    actor,
    action: 'node.rotate',
    target: name,
    detail: rotationDetail(overlapS, set),
  };
  await db.batch([auditOfChange(db, entry, nodes, unchanged), db.update(nodes).set(set).where(unchanged)]);
  return { token, row: requireRotated(await nodeByName(db, name), set.hash) };
}

/**
 * Forgets a node; its token is good for nothing any more.
 * @throws `not-found`
 */
export async function removeNode(db: Database, { name, actor, nowMs }: NodeChange): Promise<NodeRow> {
  const row = await nodeByName(db, name);
  // One that was registered anew under the name meanwhile is another.
  const unchanged = and(eq(nodes.name, name), eq(nodes.prefix, row.prefix));
  const detail = { url: row.url, prefix: row.prefix };
  const entry = { atMs: nowMs, actor, action: 'node.remove', target: name, detail };
  await db.batch([auditOfChange(db, entry, nodes, unchanged), db.delete(nodes).where(unchanged)]);
  return row;
}

/** What is later than now by more came by a clock that was ahead, and is not newer. */
const CLOCKS_APART_MS = 10_000;

/**
 * Keeps what a node tells of itself; what is known to be newer stays.
 * @param prefix of the token that was shown: a node registered anew under the same name has another
 * @returns whether the node is still registered, and drains
 */
export async function keepHeartbeat(
  db: Database,
  { name, prefix, report, nowMs }: { name: string; prefix: string; report: NodeReport; nowMs: number },
): Promise<{ readonly draining: boolean } | undefined> {
  const here = and(eq(nodes.name, name), eq(nodes.prefix, prefix));
  const [, [row]] = await db.batch([
    db
      .update(nodes)
      .set({ report, heardAtMs: nowMs })
      .where(
        and(
          here,
          or(
            isNull(nodes.heardAtMs),
            lt(nodes.heardAtMs, nowMs),
            gt(nodes.heardAtMs, nowMs + CLOCKS_APART_MS),
          ),
        ),
      ),
    db.select({ draining: nodes.draining }).from(nodes).where(here),
  ]);
  return row;
}

/** What may be told of a registration. */
export function nodeRegistration(row: NodeRow) {
  const { prefix, report, ...view } = withoutSecrets(row);
  return view;
}
