/** A node as operators see it. */
import type { NodeReport } from '../../schema/node-report.ts';
import type { TimeQuantiles } from '../selector/quantiles.ts';
import { type NodeRecord, unusableReason } from './node-record.ts';

export interface NodeView {
  readonly name: string;
  readonly url: string;
  readonly nodeClass: string;
  readonly usable: boolean;
  readonly reason: string | null;
  readonly breaker: 'closed' | 'open' | 'half-open';
  readonly downSinceMs: number | null;
  readonly reportAgeMs: number | null;
  readonly inFlightHere: number;
  readonly networkMs: TimeQuantiles | null;
  readonly report: NodeReport | null;
}

export function viewOf(node: NodeRecord, nowMs: number): NodeView {
  const state = node.breaker.state(nowMs);
  const reason = unusableReason(node, nowMs) ?? (state === 'closed' ? undefined : 'fails too many requests');
  return {
    name: node.address.name,
    url: node.address.url,
    nodeClass: node.address.nodeClass,
    usable: reason === undefined,
    reason: reason ?? null,
    breaker: state,
    downSinceMs: node.down?.sinceMs ?? null,
    reportAgeMs: node.report === undefined ? null : nowMs - node.report.atMs,
    inFlightHere: node.ownInFlight,
    networkMs: node.times.network(nowMs) ?? null,
    report: node.report?.document ?? null,
  };
}
