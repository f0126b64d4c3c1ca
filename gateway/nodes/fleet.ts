/** All nodes, kept in the isolate's memory: asked again in the background, believed until they fail. */
import type { NodeReport } from '../../schema/node-report.ts';
import type { NodeOption } from '../selector/candidates.ts';
import type { NodeAddress } from '../settings.ts';
import type { Background } from '../state/cell.ts';
import {
  type NodeRecord,
  nodeOption,
  nodeRecord,
  pollDue,
  servedVersion,
  unusableReason,
} from './node-record.ts';

export interface FleetOptions {
  readonly nodes: readonly NodeAddress[];
  /** @throws with the reason as its message */
  readonly fetchReport: (node: NodeAddress) => Promise<NodeReport>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export interface RequestSample {
  readonly version: string;
  readonly level: number;
  readonly batch: number;
  readonly networkMs: number;
  readonly executeMs: number;
}

export interface Fleet {
  /** Starts what polls are due; waits only while no node is usable, and then only for the first that is. */
  refresh(background: Background): Promise<void>;
  /** Versions of a model that usable nodes serve. */
  liveVersions(model: string): Set<string>;
  options(model: string, version: string): NodeOption[];
  addressOf(name: string): NodeAddress;
  /** Counts a request that is sent to a node. @returns what to call when it is over */
  begin(name: string): () => void;
  record(name: string, sample: RequestSample): void;
  /** Takes a node out at once; it is asked again shortly. */
  markDown(name: string, reason: string): void;
  /** For operators. */
  view(): NodeView[];
}

export interface NodeView {
  readonly name: string;
  readonly url: string;
  readonly usable: boolean;
  readonly reason: string | null;
  readonly downSinceMs: number | null;
  readonly reportAgeMs: number | null;
  readonly inFlightHere: number;
  readonly networkMs: { readonly p50Ms: number; readonly p95Ms: number; readonly p99Ms: number } | null;
  readonly report: NodeReport | null;
}

export function fleet({ nodes, fetchReport, now }: FleetOptions): Fleet {
  const records = new Map(nodes.map((address) => [address.name, nodeRecord(address)]));

  const ask = async (node: NodeRecord): Promise<NodeReport> => {
    const startedMs = now();
    const document = await fetchReport(node.address);
    node.times.recordProbe(now() - startedMs, now());
    return document;
  };

  const poll = async (node: NodeRecord): Promise<void> => {
    node.polling = true;
    node.pollStartedMs = now();
    const ownInFlight = node.ownInFlight;
    const startedMs = now();
    try {
      // The first answer also pays for connecting, so its round trip says nothing about the next.
      if (node.report === undefined || node.down !== undefined) await fetchReport(node.address);
      const document = await ask(node);
      node.report = { document, atMs: now(), ownInFlight };
      // A failure seen while the report was on its way is newer than the report.
      if (node.down === undefined || node.down.sinceMs <= startedMs) delete node.down;
    } catch (error) {
      markDown(node, error instanceof Error ? error.message : 'cannot be asked');
    } finally {
      node.polling = false;
    }
  };

  const markDown = (node: NodeRecord, reason: string) => {
    node.down = { reason, sinceMs: node.down?.sinceMs ?? now() };
  };

  const record = (name: string): NodeRecord => {
    const node = records.get(name);
    if (node === undefined) throw new Error(`There is no node ${name}.`);
    return node;
  };

  return {
    async refresh(background) {
      const at = now();
      const all = [...records.values()];
      const anyUsable = all.some((node) => unusableReason(node, at) === undefined);
      const polls = all
        .filter((node) => pollDue(node, at, !anyUsable))
        .map(async (node) => {
          await poll(node);
          if (unusableReason(node, now()) !== undefined) throw new Error('still unusable');
        });
      if (polls.length === 0) return;
      background.waitUntil(Promise.allSettled(polls));
      // Rejections only say that none has become usable; the selector names each node's reason.
      if (!anyUsable) await Promise.any(polls).catch(() => {});
    },
    liveVersions(model) {
      const live = [...records.values()].filter((node) => unusableReason(node, now()) === undefined);
      return new Set(live.flatMap((node) => servedVersion(node, model) ?? []));
    },
    options: (model, version) => [...records.values()].map((node) => nodeOption(node, model, version, now())),
    addressOf: (name) => record(name).address,
    begin(name) {
      const node = record(name);
      node.ownInFlight++;
      let over = false;
      return () => {
        if (!over) node.ownInFlight--;
        over = true;
      };
    },
    record: (name, sample) => record(name).times.recordRequest(sample, now()),
    markDown(name, reason) {
      const node = record(name);
      markDown(node, reason);
      node.pollStartedMs = now();
    },
    view: () =>
      [...records.values()].map((node) => {
        const reason = unusableReason(node, now());
        return {
          name: node.address.name,
          url: node.address.url,
          usable: reason === undefined,
          reason: reason ?? null,
          downSinceMs: node.down?.sinceMs ?? null,
          reportAgeMs: node.report === undefined ? null : now() - node.report.atMs,
          inFlightHere: node.ownInFlight,
          networkMs: node.times.network(now()) ?? null,
          report: node.report?.document ?? null,
        };
      }),
  };
}
