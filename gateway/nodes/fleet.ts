/** All nodes, kept in the isolate's memory: asked again in the background, believed until they fail. */
import type { NodeReport } from '../../schema/node-report.ts';
import type { CandidateTable } from '../selector/candidate-table.ts';
import type { NodeOption } from '../selector/candidates.ts';
import type { Background } from '../state/cell.ts';
import { type AnswerKind, answerSizes } from './answer-sizes.ts';
import { caution } from './caution.ts';
import type { NodeAddress } from './node-address.ts';
import {
  endLost,
  forget,
  loadOf,
  type NodeRecord,
  type NodeUse,
  nodeOption,
  nodeRecord,
  pollUnderWay,
  revise,
  servedVersion,
  servesLevel,
  type UnderWay,
  unusableReason,
} from './node-record.ts';
import type { Outcome, Sent } from './outcome.ts';
import { pollLanes } from './poll-lanes.ts';
import { probeTarget } from './probing.ts';
import { LateReport } from './report-client.ts';
import { type TableSpec, tableCache } from './table-cache.ts';
import { type NodeView, viewOf } from './view.ts';

export interface FleetOptions {
  readonly nodes: readonly NodeAddress[];
  /** @throws with the reason as its message */
  readonly fetchReport: (node: NodeAddress) => Promise<NodeReport>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly pause?: (ms: number) => Promise<void>;
}

export interface Fleet {
  /**
   * Starts what polls are due; waits only while no usable node serves one of the models, and then only for the first that does.
   * @param models none for any
   */
  refresh(background: Background, ...models: readonly string[]): void | Promise<void>;
  /** Whether a usable node serves the version of the model: this level of it, or any. */
  serves(model: string, version: string, level?: number): boolean;
  /**
   * The fleet as candidates, up to date; it is the same object from call to call, so it is read before the next.
   * @param failed nodes that the request has tried in vain, with the reason
   * @param endMs its deadline; without one it waits behind all others
   */
  table(spec: TableSpec, failed?: ReadonlyMap<string, string>, endMs?: number): CandidateTable;
  /** The same as plain data, for whoever keeps what a decision was made from. */
  options(use: NodeUse): NodeOption[];
  /** Work in requests for each worker of the usable nodes; 0 without any. */
  pressure(): number;
  /** How many times the usual room runs have to leave, by how well predictions have held lately; 1 or more. */
  caution(): number;
  /** That the answer to such a request is expected to have. */
  answerBytes(kind: AnswerKind): number;
  /** Undefined for a node that has left the fleet since it was chosen. */
  addressOf(name: string): NodeAddress | undefined;
  /** Counts a request that is sent to a node; one that has left is not counted. @returns what to call once when it is over */
  begin(name: string, background: Background, sent?: Sent): (outcome: Outcome) => void;
  /**
   * Whether a node that was asked has answered nobody for so long. Then it is out until it has been asked how it is, which is at once:
   * one that only has long work says so.
   */
  stuck(name: string, forMs: number, background: Background): boolean;
  /**
   * A node that needs a request to show whether it has recovered: one whose breaker wants a trial, or, where `stale` ones
   * count, one that nothing was learned from lately. @param chosen is not such a node
   */
  probeTarget(spec: TableSpec, chosen: string, stale: boolean): string | undefined;
  /** Takes in or drops nodes; those that stay keep what was learned of them. */
  setNodes(nodes: readonly NodeAddress[]): void;
  /** A report that the node sent by itself. @param atMs when it came; what is known to be newer stays. @returns false for a node that is not in the fleet */
  heard(name: string, document: NodeReport, atMs: number): boolean;
  /** For operators. */
  view(): NodeView[];
}

/** How often who waits for another request's poll looks for what came of it. */
const LOOK_MS = 5;

export function fleet({ nodes, fetchReport, now, pause = timeout }: FleetOptions): Fleet {
  const records = new Map<string, NodeRecord>();
  /** The same in a row, which is quicker to go through. */
  let members: readonly NodeRecord[] = [];
  const tables = tableCache(records, now);
  const promises = caution();
  const answers = answerSizes();

  const markDown = (node: NodeRecord, reason: string) => {
    node.down = { reason, sinceMs: node.down?.sinceMs ?? now() };
  };

  const believe = (node: NodeRecord, document: NodeReport, ownInFlight: number, atMs = now()) => {
    const before = node.report?.document;
    if (before !== undefined && before.startedAtMs !== document.startedAtMs) forget(node);
    node.report = { document, atMs, ownInFlight };
    const models = JSON.stringify(document.models);
    if (models !== node.reportedModels) revise(node, now());
    node.reportedModels = models;
    if (before?.workers !== document.workers) revise(node, now());
  };

  const poll = async (node: NodeRecord): Promise<void> => {
    const first = !Number.isFinite(node.pollStartedMs);
    node.polling = true;
    node.pollStartedMs = now();
    endLost(node, now());
    const ownInFlight = node.ownInFlight;
    const startedMs = now();
    const ask = async () => {
      believe(node, await fetchReport(node.address), ownInFlight);
      // A failure seen while the report was on its way is newer than the report.
      if (node.down === undefined || node.down.sinceMs <= startedMs) delete node.down;
    };
    try {
      // The first answer also pays for connecting, so its round trip says nothing about the next.
      if (first || node.down !== undefined) await ask();
      const askedMs = now();
      await ask();
      node.times.recordProbe(now() - askedMs, now());
      node.dirty = true;
    } catch (error) {
      // A late answer is no answer yet: what the node said last is good until it is too old.
      if (error instanceof LateReport && node.report !== undefined) return;
      markDown(node, error instanceof Error ? error.message : 'cannot be asked');
    } finally {
      node.polling = false;
    }
  };

  const learn = (node: NodeRecord, outcome: Outcome, sentMs: number, background: Background) => {
    const nowMs = now();
    // What is late because others stood before it is load. A node that is stuck answers nobody meanwhile.
    const stuck = node.answeredMs < sentMs;
    if (outcome.kind === 'answered' || (outcome.kind !== 'failed' && outcome.answered))
      node.answeredMs = nowMs;
    if (outcome.kind === 'unknown') return;
    node.lastSampleMs = nowMs;
    if (outcome.kind === 'answered') {
      node.breaker.success(nowMs);
      node.times.recordRequest(outcome.sample, nowMs);
      answers.record(outcome.sample, outcome.sample.answerBytes, nowMs);
      node.dirty = true;
      return;
    }
    if (outcome.kind === 'failed' || (outcome.fault && stuck)) node.breaker.failure(nowMs);
    if (outcome.kind === 'cut-off') {
      node.times.recordCutOff(outcome, nowMs);
      node.dirty = true;
    } else if (outcome.unreachable && node.down === undefined) {
      // One lost connection is no verdict: the node is out until it has been asked, which is at once.
      markDown(node, outcome.reason);
      if (!node.polling) background.waitUntil(poll(node));
    }
  };

  const anyUsable = (models: readonly string[]) => {
    const at = now();
    for (const node of members)
      if (unusableReason(node, at) === undefined && servesOneOf(node, models)) return true;
    return false;
  };

  const polls = pollLanes(() => members, poll, now);

  /**
   * Who finds no usable node waits for the first report, of a poll that another request has started, too: the runtime
   * lets nobody wait for another request's promise, so it is looked for.
   */
  const untilUsable = async (
    started: Promise<unknown> | undefined,
    background: Background,
    models: readonly string[],
  ) => {
    let answered = started;
    while (!anyUsable(models) && members.some((node) => pollUnderWay(node, now()))) {
      const look = pause(LOOK_MS);
      await (answered === undefined ? look : Promise.race([answered, look]));
      answered = polls.start(background, !anyUsable(models));
    }
  };

  const all: Fleet = {
    refresh(background, ...models) {
      const needed = !anyUsable(models);
      const started = polls.start(background, needed);
      if (needed) return untilUsable(started, background, models);
    },
    serves(model, version, level) {
      const nowMs = now();
      for (const node of members)
        if (unusableReason(node, nowMs) === undefined && servesLevel(node, model, version, level))
          return true;
      return false;
    },
    table: (spec, failed, endMs) => tables.get(spec, failed, endMs),
    options: (use) => members.map((node) => nodeOption(node, use, now())),
    pressure() {
      const nowMs = now();
      let [load, workers] = [0, 0];
      for (const node of members) {
        if (unusableReason(node, nowMs) !== undefined) continue;
        load += loadOf(node);
        workers += node.report?.document.workers ?? 0;
      }
      return workers === 0 ? 0 : load / workers;
    },
    caution: () => promises.factor(),
    answerBytes: (kind) => answers.expected(kind),
    addressOf: (name) => records.get(name)?.address,
    begin(
      name,
      background,
      { executeMs = 0, endMs = Number.POSITIVE_INFINITY, probe = false, promised } = {},
    ) {
      const node = records.get(name);
      if (node === undefined) return () => {};
      node.ownInFlight++;
      if (probe) node.probesInFlight++;
      const sentMs = now();
      const leave = node.work.begin(executeMs, endMs, sentMs);
      const end = (stopped: boolean) => {
        if (!node.underWay.delete(sent)) return false;
        node.ownInFlight--;
        if (probe) node.probesInFlight--;
        leave(stopped, now());
        return true;
      };
      const sent: UnderWay = { endMs, over: () => void end(true) };
      node.underWay.add(sent);
      return (outcome) => {
        if (!end(outcome.kind === 'cut-off')) return;
        const missed = outcome.kind === 'cut-off' && (outcome.fault || outcome.answered === true);
        if (promised !== undefined && (missed || outcome.kind === 'answered'))
          promises.record(promised, !missed);
        learn(node, outcome, sentMs, background);
      };
    },
    stuck(name, forMs, background) {
      const node = records.get(name);
      if (node === undefined) return true;
      if (node.answeredMs > now() - forMs) return false;
      markDown(node, 'answers nobody');
      if (!node.polling) background.waitUntil(poll(node));
      return true;
    },
    probeTarget: ({ model, version }, chosen, stale) =>
      probeTarget(members, { model, version: version.version, chosen, stale, nowMs: now() }),
    setNodes(addresses) {
      const kept = new Map(
        addresses.map((address) => {
          const known = records.get(address.name);
          // Another address is another machine: what was learned of the first says nothing about it.
          const node = known?.address.url === address.url ? known : nodeRecord(address);
          node.address = address;
          return [address.name, node];
        }),
      );
      records.clear();
      for (const [name, node] of kept) records.set(name, node);
      members = [...records.values()];
      tables.clear();
    },
    heard(name, document, atMs) {
      const node = records.get(name);
      if (node === undefined) return false;
      if (node.report === undefined || node.report.atMs < atMs)
        believe(node, document, node.ownInFlight, atMs);
      return true;
    },
    view: () => members.map((node) => viewOf(node, now())),
  };
  all.setNodes(nodes);
  return all;
}

function servesOneOf(node: NodeRecord, models: readonly string[]): boolean {
  return models.length === 0 || models.some((model) => servedVersion(node, model) !== undefined);
}

function timeout(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
