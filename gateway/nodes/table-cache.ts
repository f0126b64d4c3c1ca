/** Candidate tables, kept from request to request. A request pays for what has changed since the last one. */
import {
  type CandidateTable,
  candidateTable,
  setColumn,
  setHop,
  setLoad,
  setUsable,
} from '../selector/candidate-table.ts';
import type { LevelOption, PriceOf } from '../selector/candidates.ts';
import {
  aheadMs,
  loadOf,
  type NodeRecord,
  type NodeUse,
  nodeOption,
  revisionOf,
  unservedReason,
  unusableReason,
} from './node-record.ts';

/** What a table is for. */
export interface TableSpec {
  readonly model: string;
  readonly version: { readonly version: string; readonly levels: readonly LevelOption[] };
  readonly quantile: number;
  readonly batch: number;
  /** Of its sequences, as nodes put lengths together; 0 where there is none. */
  readonly length: number;
  /** That go to the node and are expected back. */
  readonly hopBytes: number;
  readonly priceOf: PriceOf;
  /** Changes when prices do. */
  readonly policyVersion: number;
}

export interface TableCache {
  /** @param endMs the deadline of the request: what is due later does not stand before it */
  get(spec: TableSpec, failed?: ReadonlyMap<string, string>, endMs?: number): CandidateTable;
  clear(): void;
}

const KEPT = 64;
const FAILING = 'fails too many requests';

interface Entry {
  readonly spec: TableSpec;
  readonly table: CandidateTable;
  readonly nodes: readonly NodeRecord[];
  /** That its ways were set for. */
  hopBytes: number;
  /** By column: what was known when it was set. */
  readonly revisions: number[];
  readonly serviceMs: Float64Array;
  readonly workers: Float64Array;
  readonly waitScale: Float64Array;
  /** Why the version is not served there. */
  readonly unserved: (string | undefined)[];
}

export function tableCache(records: ReadonlyMap<string, NodeRecord>, now: () => number): TableCache {
  /** The latest last, and what is in use not far from them. */
  const entries: Entry[] = [];

  const build = (spec: TableSpec): Entry => {
    const nodes = [...records.values()].sort((a, b) => (a.address.name < b.address.name ? -1 : 1));
    const options = nodes.map((node) => nodeOption(node, useOf(spec), now()));
    return {
      spec,
      table: candidateTable({ ...spec, levels: spec.version.levels, nodes: options }),
      nodes,
      hopBytes: spec.hopBytes,
      revisions: nodes.map(({ revision }) => revision),
      serviceMs: Float64Array.from(options, ({ serviceMs }) => serviceMs),
      workers: Float64Array.from(options, ({ workers }) => workers),
      waitScale: Float64Array.from(nodes, ({ times }) => times.waitScale(now())),
      unserved: nodes.map((node) => unservedReason(node, spec.model, spec.version.version)),
    };
  };

  const entryOf = (spec: TableSpec): Entry => {
    for (let place = 0; place < entries.length; place++) {
      const entry = entries[place] as Entry;
      if (!alike(entry.spec, spec)) continue;
      // One that is in use is not among those that go next.
      if (entries.length === KEPT && place < KEPT / 2) entries.push(...entries.splice(place, 1));
      return entry;
    }
    const made = build(spec);
    entries.push(made);
    if (entries.length > KEPT) entries.shift();
    return made;
  };

  const relearn = (entry: Entry, column: number, node: NodeRecord, spec: TableSpec, nowMs: number) => {
    const revision = revisionOf(node, nowMs);
    if (revision === entry.revisions[column]) return;
    const option = nodeOption(node, useOf(spec), nowMs);
    setColumn(entry.table, column, option, spec);
    entry.revisions[column] = revision;
    entry.serviceMs[column] = option.serviceMs;
    entry.workers[column] = option.workers;
    entry.waitScale[column] = node.times.waitScale(nowMs);
    entry.unserved[column] = unservedReason(node, spec.model, spec.version.version);
  };

  return {
    get(spec, failed, endMs) {
      const entry = entryOf(spec);
      const nowMs = now();
      const { table, nodes } = entry;
      const otherSize = spec.hopBytes !== entry.hopBytes;
      entry.hopBytes = spec.hopBytes;
      let usable = 0;
      let failing = 0;
      const ahead = { requests: 0, ms: 0 };
      const load = { load: 0, workers: 1, serviceMs: 0, ahead, unusable: undefined as string | undefined };
      for (let column = 0; column < nodes.length; column++) {
        const node = nodes[column] as NodeRecord;
        relearn(entry, column, node, spec, nowMs);
        if (otherSize) setHop(table, column, spec.hopBytes);
        load.load = loadOf(node);
        load.workers = entry.workers[column] as number;
        load.serviceMs = entry.serviceMs[column] as number;
        ahead.requests = node.ownInFlight;
        ahead.ms = aheadMs(node, load.workers, entry.waitScale[column] as number, nowMs, endMs);
        load.unusable =
          unusableReason(node, nowMs) ?? entry.unserved[column] ?? failed?.get(node.address.name);
        if (load.unusable === undefined) {
          if (node.breaker.state(nowMs) === 'closed') usable++;
          else {
            failing++;
            load.unusable = FAILING;
          }
        }
        setLoad(table, column, load);
      }
      // With no other left, a node that fails often is better than none: its breaker is not heeded.
      if (usable === 0 && failing > 0)
        for (let column = 0; column < nodes.length; column++)
          if (table.unusable[column] === FAILING) setUsable(table, column, undefined);
      return table;
    },
    clear() {
      entries.length = 0;
    },
  };
}

/** Whether one table is for both, whatever goes to the nodes and back. */
function alike(a: TableSpec, b: TableSpec): boolean {
  return (
    a.batch === b.batch &&
    a.length === b.length &&
    a.quantile === b.quantile &&
    a.policyVersion === b.policyVersion &&
    a.model === b.model &&
    a.version.version === b.version.version
  );
}

function useOf({ model, version, length }: TableSpec): NodeUse {
  return { model, version: version.version, length };
}
