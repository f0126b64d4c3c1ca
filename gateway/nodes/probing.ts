/** Which node should see a copy of a request, so that its recovery is noticed without putting anyone's answer at risk. */
import { type NodeRecord, unservedReason, unusableReason } from './node-record.ts';

/** A node that nothing was learned from for this long may be judged by what is no longer so. */
const STALE_MS = 5000;

export interface ProbeSearch {
  readonly model: string;
  readonly version: string;
  /** Takes the request itself. */
  readonly chosen: string;
  /** Whether nodes count that nothing was learned from lately, besides those whose breaker waits for a trial. */
  readonly stale: boolean;
  readonly nowMs: number;
}

/** A node whose breaker waits for a trial comes first, then the one that was heard from longest ago. One probe at a time. */
export function probeTarget(
  nodes: Iterable<NodeRecord>,
  { model, version, chosen, stale, nowMs }: ProbeSearch,
): string | undefined {
  let found: NodeRecord | undefined;
  for (const node of nodes) {
    if (node.address.name === chosen || node.probesInFlight > 0) continue;
    if (unusableReason(node, nowMs) !== undefined) continue;
    if (unservedReason(node, model, version) !== undefined) continue;
    const state = node.breaker.state(nowMs);
    if (state === 'half-open') return node.address.name;
    if (!stale || state === 'open' || nowMs - node.lastSampleMs < STALE_MS || node.ownInFlight > 0) continue;
    if (found === undefined || node.lastSampleMs < found.lastSampleMs) found = node;
  }
  return found?.address.name;
}
