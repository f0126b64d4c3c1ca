/** What the gateway knows of one node, and what the selector makes of it. */
import type { NodeReport } from '../../schema/node-report.ts';
import type { BatchTimes, NodeOption } from '../selector/candidates.ts';
import { type Breaker, breaker } from './breaker.ts';
import { type MeasuredTimes, measuredTimes } from './measured-times.ts';
import type { NodeAddress } from './node-address.ts';
import { type WorkAhead, workAhead } from './work-ahead.ts';

/** Usable nodes are asked again when their report is older than this. */
const REFRESH_MS = 1000;
/** Unusable ones are asked again this soon, so that they come back quickly and cost little until then. */
const RETRY_MS = 500;
/** A report older than this says nothing about now. */
const MAX_REPORT_AGE_MS = 10_000;
/** A poll that has not come back by then was cancelled with the request that started it. */
const POLL_LOST_MS = 7000;
/** One that was never heard of may have been asked by a request that is gone by now. */
const ASK_AGAIN_MS = 250;
/** What is learned from requests goes into predictions this often, since working it out takes longer than predicting. */
const RELEARN_MS = 250;

export interface NodeRecord {
  address: NodeAddress;
  times: MeasuredTimes;
  breaker: Breaker;
  report?: { readonly document: NodeReport; readonly atMs: number; readonly ownInFlight: number };
  /** What the report says of models, as text: it is long, and mostly as it was before. */
  reportedModels: string;
  /** Why it was last found unusable; undefined while it answers. */
  down?: { readonly reason: string; readonly sinceMs: number };
  /** The same requests as `ownInFlight` counts, and how long they will keep the node busy. */
  work: WorkAhead;
  /** Requests that this isolate has sent there and not had back. */
  ownInFlight: number;
  /** What ends each of these, and when it can be under way no longer. */
  readonly underWay: Set<UnderWay>;
  /** Of these, trials and probes. */
  probesInFlight: number;
  /** When it last answered a request, whatever it said; reports do not count. */
  answeredMs: number;
  /** When something was last learned from a request there. */
  lastSampleMs: number;
  pollStartedMs: number;
  polling: boolean;
  /** Grows when predictions have to be worked out anew. */
  revision: number;
  revisedAtMs: number;
  /** Something was learned since. */
  dirty: boolean;
}

export interface UnderWay {
  readonly endMs: number;
  over(): void;
}

export function nodeRecord(address: NodeAddress): NodeRecord {
  return {
    address,
    times: measuredTimes(),
    breaker: breaker(),
    work: workAhead(),
    reportedModels: '',
    ownInFlight: 0,
    underWay: new Set(),
    probesInFlight: 0,
    answeredMs: Number.NEGATIVE_INFINITY,
    lastSampleMs: Number.NEGATIVE_INFINITY,
    pollStartedMs: Number.NEGATIVE_INFINITY,
    polling: false,
    revision: 0,
    revisedAtMs: Number.NEGATIVE_INFINITY,
    dirty: false,
  };
}

/** What was learned of the process before says nothing about this one. */
export function forget(node: NodeRecord): void {
  node.times = measuredTimes();
  node.breaker = breaker();
  node.work = workAhead();
  node.lastSampleMs = Number.NEGATIVE_INFINITY;
}

/** After its deadline a request is over, and so long after it nobody will say so any more. */
const LOST_MS = 5000;

/** Ends what the runtime dropped with a client that left: nothing of such a request runs to tell. */
export function endLost({ underWay }: NodeRecord, nowMs: number): void {
  for (const { endMs, over } of underWay) if (nowMs >= endMs + LOST_MS) over();
}

/** The revision after taking in what was learned, if it is time to. */
export function revisionOf(node: NodeRecord, nowMs: number): number {
  if (node.dirty && nowMs - node.revisedAtMs >= RELEARN_MS) revise(node, nowMs);
  return node.revision;
}

export function revise(node: NodeRecord, nowMs: number): void {
  node.revision++;
  node.revisedAtMs = nowMs;
  node.dirty = false;
}

/** Why the node cannot take requests now, its breaker left aside; undefined when it can. */
export function unusableReason(node: NodeRecord, nowMs: number): string | undefined {
  if (node.down !== undefined) return node.down.reason;
  if (node.report === undefined) return 'has not reported yet';
  if (nowMs - node.report.atMs >= MAX_REPORT_AGE_MS) return 'has not reported for a while';
  if (node.address.draining) return 'is taken out of service';
  const { state } = node.report.document;
  return state === 'ready' ? undefined : `is ${state}`;
}

/**
 * Whether it is time to ask the node again.
 * @param needed no other node is usable: then one that was never heard of is asked again soon, and not by everyone at once
 */
export function pollDue(node: NodeRecord, nowMs: number, needed: boolean): boolean {
  const sinceMs = nowMs - node.pollStartedMs;
  if (needed && node.report === undefined && node.down === undefined) return sinceMs >= ASK_AGAIN_MS;
  if (pollUnderWay(node, nowMs)) return false;
  const usable = unusableReason(node, nowMs) === undefined;
  return usable ? sinceMs >= REFRESH_MS : sinceMs >= RETRY_MS || reportExpired(node, nowMs);
}

export function pollUnderWay(node: NodeRecord, nowMs: number): boolean {
  return node.polling && nowMs - node.pollStartedMs < POLL_LOST_MS;
}

/** What a node is to be used for. */
export interface NodeUse {
  readonly model: string;
  /** Of the artifact. */
  readonly version: string;
  readonly length: number;
}

/** Artifact version of a model that the node serves. */
export function servedVersion(node: NodeRecord, model: string): string | undefined {
  return node.report?.document.models.find((served) => served.model === model)?.artifactVersion;
}

/** Whether it has a level of the version, this one or any: while it loads, and where files of a level are damaged, it has not all. */
export function servesLevel(node: NodeRecord, model: string, version: string, level?: number): boolean {
  const served = node.report?.document.models.find((entry) => entry.model === model);
  if (served?.artifactVersion !== version) return false;
  return level === undefined
    ? served.levels.length > 0
    : served.levels.some((entry) => entry.level === level);
}

/** Why a version of a model cannot be had there, whatever the node's state; undefined when it can. */
export function unservedReason(node: NodeRecord, model: string, version: string): string | undefined {
  const served = servedVersion(node, model);
  if (served === undefined) return `does not serve ${model}`;
  return served === version ? undefined : `serves version ${served}`;
}

/**
 * The node as the selector sees it, for one version of a model.
 * @param length of sequences, as nodes put them together; 0 for any
 */
export function nodeOption(node: NodeRecord, { model, version, length }: NodeUse, nowMs: number): NodeOption {
  const served = node.report?.document.models.find((entry) => entry.model === model);
  const times = new Map<number, readonly BatchTimes[]>();
  if (served?.artifactVersion === version) {
    for (const { level, ...reported } of served.levels) {
      const known = node.times.executions({ model, version }, level, reported, length, nowMs);
      if (known.length > 0) times.set(level, known);
    }
  }
  const workers = node.report?.document.workers ?? 1;
  return {
    name: node.address.name,
    nodeClass: node.address.nodeClass,
    unusable: unusableReason(node, nowMs) ?? unservedReason(node, model, version),
    network: node.times.network(nowMs),
    quickestWayMs: node.times.quickestWayMs(),
    workers,
    load: loadOf(node),
    ahead: { requests: node.ownInFlight, ms: aheadMs(node, workers, node.times.waitScale(nowMs), nowMs) },
    serviceMs: node.times.serviceMs(nowMs) ?? meanOfLevels(times),
    excessQueue: node.times.excessQueue(nowMs, false),
    excessQueueWhenBusy: node.times.excessQueue(nowMs, true),
    times,
  };
}

/**
 * @param scale how waits there compare with what one after the other would make of them
 * @param endMs the deadline of the request that would wait
 */
export function aheadMs(
  { work }: NodeRecord,
  workers: number,
  scale: number,
  nowMs: number,
  endMs?: number,
): number {
  return scale * work.waitMs(workers, nowMs, endMs);
}

/** Others' requests as of the report, and ours as of now. */
export function loadOf({ report, ownInFlight }: NodeRecord): number {
  if (report === undefined) return ownInFlight;
  const reported = report.document.queueLength + report.document.inFlight;
  return Math.max(0, reported - report.ownInFlight) + ownInFlight;
}

function meanOfLevels(times: ReadonlyMap<number, readonly BatchTimes[]>): number {
  let sum = 0;
  for (const [first] of times.values()) sum += first?.p50Ms ?? 0;
  return sum / Math.max(1, times.size);
}

function reportExpired(node: NodeRecord, nowMs: number): boolean {
  return (
    node.down === undefined && node.report !== undefined && nowMs - node.report.atMs >= MAX_REPORT_AGE_MS
  );
}
