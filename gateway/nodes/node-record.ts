/** What the gateway knows of one node, and what the selector makes of it. */
import type { NodeReport } from '../../schema/node-report.ts';
import type { BatchTimes, NodeOption } from '../selector/candidates.ts';
import type { NodeAddress } from '../settings.ts';
import { type MeasuredTimes, measuredTimes } from './measured-times.ts';

/** Usable nodes are asked again when their report is older than this. */
const REFRESH_MS = 1000;
/** Unusable ones are asked again this soon, so that they come back quickly and cost little until then. */
const RETRY_MS = 500;
/** A report older than this says nothing about now. */
const MAX_REPORT_AGE_MS = 10_000;
/** A poll that has not come back by then was cancelled with the request that started it. */
const POLL_LOST_MS = 3000;

export interface NodeRecord {
  readonly address: NodeAddress;
  readonly times: MeasuredTimes;
  report?: { readonly document: NodeReport; readonly atMs: number; readonly ownInFlight: number };
  /** Why it was last found unusable; undefined while it answers. */
  down?: { readonly reason: string; readonly sinceMs: number };
  /** Requests that this isolate has sent there and not had back. */
  ownInFlight: number;
  pollStartedMs: number;
  polling: boolean;
}

export function nodeRecord(address: NodeAddress): NodeRecord {
  return {
    address,
    times: measuredTimes(),
    ownInFlight: 0,
    pollStartedMs: Number.NEGATIVE_INFINITY,
    polling: false,
  };
}

/** Why no request may go there now; undefined when it may. */
export function unusableReason(node: NodeRecord, nowMs: number): string | undefined {
  if (node.down !== undefined) return node.down.reason;
  if (node.report === undefined) return 'has not reported yet';
  if (nowMs - node.report.atMs >= MAX_REPORT_AGE_MS) return 'has not reported for a while';
  const { state } = node.report.document;
  return state === 'ready' ? undefined : `is ${state}`;
}

/**
 * Whether it is time to ask the node again.
 * @param needed no other node is usable: then one that was never heard of is asked by everyone who waits for it
 */
export function pollDue(node: NodeRecord, nowMs: number, needed: boolean): boolean {
  const sinceMs = nowMs - node.pollStartedMs;
  if (needed && node.report === undefined && node.down === undefined) return true;
  if (node.polling && sinceMs < POLL_LOST_MS) return false;
  const usable = unusableReason(node, nowMs) === undefined;
  return usable ? sinceMs >= REFRESH_MS : sinceMs >= RETRY_MS || reportExpired(node, nowMs);
}

/** Artifact version of a model that the node serves. */
export function servedVersion(node: NodeRecord, model: string): string | undefined {
  return node.report?.document.models.find((served) => served.model === model)?.artifactVersion;
}

/** The node as the selector sees it, for one version of a model. */
export function nodeOption(node: NodeRecord, model: string, version: string, nowMs: number): NodeOption {
  const served = node.report?.document.models.find((entry) => entry.model === model);
  const times = new Map<number, readonly BatchTimes[]>();
  if (served?.artifactVersion === version) {
    for (const { level, profiles } of served.levels) {
      const measured = node.times.executions(version, level, nowMs);
      const batches = new Set(measured.map(({ batch }) => batch));
      const reported = profiles.filter(({ batch }) => !batches.has(batch));
      if (measured.length + reported.length > 0) times.set(level, [...measured, ...reported]);
    }
  }
  const serviceTimes = [...times.values()].flatMap((entries) =>
    entries.slice(0, 1).map(({ p50Ms }) => p50Ms),
  );
  const otherVersion = served !== undefined && served.artifactVersion !== version;
  return {
    name: node.address.name,
    nodeClass: 'default',
    unusable:
      unusableReason(node, nowMs) ??
      (served === undefined
        ? `does not serve ${model}`
        : otherVersion
          ? `serves version ${served.artifactVersion}`
          : undefined),
    network: node.times.network(nowMs) ?? { p50Ms: 0, p95Ms: 0, p99Ms: 0 },
    workers: node.report?.document.workers ?? 1,
    load: loadOf(node),
    serviceMs: serviceTimes.reduce((sum, ms) => sum + ms, 0) / Math.max(1, serviceTimes.length),
    times,
  };
}

/** Others' requests as of the report, and ours as of now. */
function loadOf({ report, ownInFlight }: NodeRecord): number {
  if (report === undefined) return ownInFlight;
  const reported = report.document.queueLength + report.document.inFlight;
  return Math.max(0, reported - report.ownInFlight) + ownInFlight;
}

function reportExpired(node: NodeRecord, nowMs: number): boolean {
  return (
    node.down === undefined && node.report !== undefined && nowMs - node.report.atMs >= MAX_REPORT_AGE_MS
  );
}
