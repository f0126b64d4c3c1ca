/** A node as operators see it. */
import type { NodeReport } from '../../schema/node-report.ts';
import type { NetworkTimes } from '../selector/network-times.ts';
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
  /** Of the way there and back with hardly anything to carry; null before anything is known of it. */
  readonly networkMs: TimeQuantiles | null;
  /** The same by bytes of request and answer together; between two sizes in proportion. The last is beyond all bodies. */
  readonly networkBySize: NetworkTimes;
  readonly report: NodeReport | null;
}

export function viewOf(node: NodeRecord, nowMs: number): NodeView {
  const networkBySize = node.times.network(nowMs);
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
    networkMs: withoutSize(networkBySize),
    networkBySize,
    report: node.report?.document ?? null,
  };
}

/** The same without the times by level that the node has measured. */
export function withoutProfiles({ report, ...view }: NodeView) {
  if (report === null) return { ...view, report };
  const models = report.models.map(({ levels, ...model }) => ({
    ...model,
    levels: levels.map(({ level, resident }) => ({ level, resident })),
  }));
  return { ...view, report: { ...report, models } };
}

function withoutSize([smallest]: NetworkTimes): TimeQuantiles | null {
  if (smallest === undefined) return null;
  const { p50Ms, p95Ms, p99Ms } = smallest;
  return { p50Ms, p95Ms, p99Ms };
}
