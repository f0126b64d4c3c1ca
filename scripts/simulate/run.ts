/**
 * Plays a trace against machines in simulated time. A router sees what a gateway sees: which nodes it believes to be up,
 * its own requests under way, and measured times; the machines do what they do. First come, first served at each node.
 */
import { fleet } from '../../gateway/nodes/fleet.ts';
import type { TableSpec } from '../../gateway/nodes/table-cache.ts';
import type { LevelOption, PriceOf } from '../../gateway/selector/candidates.ts';
import type { NodeReport } from '../../schema/node-report.ts';
import { type Arrival, type Machine, randomOf, type Trace } from './trace.ts';

export interface SimulatedLevel extends LevelOption {
  /** Median execution time on a node of slowness 1. */
  readonly executeMs: number;
}

/** Where a request goes; undefined refuses it. */
export interface Choice {
  readonly level: number;
  readonly node: string;
  /** The wait that the node's load explains; undefined for routers that do not look at it. */
  readonly expectedQueueMs?: number;
}

/** What a router may look at. `leftMs` is the rest of the budget, `failed` the nodes that this request tried in vain. */
export interface Situation {
  readonly arrival: Arrival;
  readonly leftMs: number;
  readonly index: number;
  readonly failed: ReadonlyMap<string, string>;
  readonly all: ReturnType<typeof fleet>;
  readonly spec: TableSpec;
  /** Only for the oracle: when the node would be done, however it is loaded; NaN while it is down. */
  readonly doneAtMs: (choice: Choice) => number;
  readonly nowMs: number;
  readonly random: () => number;
}

export type Router = (situation: Situation) => Choice | undefined;

export interface Outcome {
  readonly requests: number;
  /** Share answered within the budget. */
  readonly attainment: number;
  /** Of answers in time; what was late or refused has none. */
  readonly meanQuality: number;
  /** The same with 0 for what was late or refused. */
  readonly deliveredQuality: number;
  /** Micro-dollars for each answered request. */
  readonly meanCostMicroUsd: number;
}

const NETWORK_MS = 1;
const ATTEMPTS = 2;
const POLL_MS = 250;

export async function simulate(
  trace: Trace,
  levels: readonly SimulatedLevel[],
  priceOf: PriceOf,
  router: Router,
  seed: number,
): Promise<Outcome> {
  const random = randomOf(seed);
  let nowMs = 0;
  const work: Promise<unknown>[] = [];
  const background = { waitUntil: (promise: Promise<unknown>) => void work.push(promise) };
  const machines = new Map(trace.machines.map((machine) => [machine.name, machine]));
  /** When each worker of a node is free again. */
  const freeAtMs = new Map(
    trace.machines.map(({ name, workers }) => [name, new Array<number>(workers).fill(0)]),
  );
  const waitingUntil = (name: string) => Math.min(...(freeAtMs.get(name) ?? [Number.NaN]));
  const all = fleet({
    nodes: trace.machines.map(({ name }) => ({
      name,
      url: `http://${name}`,
      nodeClass: 'default',
      draining: false,
    })),
    now: () => nowMs,
    fetchReport: async ({ name }) => {
      const machine = machines.get(name) as Machine;
      if (!machine.up(nowMs)) throw new Error('cannot be reached');
      const busy = (freeAtMs.get(name) ?? []).filter((atMs) => atMs > nowMs).length;
      return reportOf(machine, levels, busy);
    },
  });
  const spec: TableSpec = {
    model: 'm',
    version: { version: 'v1', levels },
    quantile: 0.95,
    batch: 1,
    priceOf,
    policyVersion: 1,
  };

  /** What happens later, soonest first. */
  const agenda: { atMs: number; act: () => void }[] = [];
  const later = (atMs: number, act: () => void) => {
    let place = agenda.length;
    while (place > 0 && (agenda[place - 1] as { atMs: number }).atMs > atMs) place--;
    agenda.splice(place, 0, { atMs, act });
  };
  let inTime = 0;
  let quality = 0;
  let cost = 0;
  let answered = 0;

  const send = (arrival: Arrival, index: number, failed: ReadonlyMap<string, string>) => {
    const leftMs = arrival.atMs + arrival.budgetMs - nowMs;
    // An execution's time is drawn once for each request and try, so that all routers meet the same luck.
    const luck = randomOf(seed * 1_000_003 + index * 2 + failed.size);
    const spread = Math.exp(0.15 * normal(luck));
    const executeOf = ({ level, node }: Choice) =>
      (levels.find((row) => row.level === level)?.executeMs ?? Number.NaN) *
      (machines.get(node)?.slowness ?? 1) *
      spread;
    const choice = router({
      arrival,
      leftMs,
      index,
      failed,
      all,
      spec,
      nowMs,
      random,
      doneAtMs: (asked) =>
        machines.get(asked.node)?.up(nowMs)
          ? Math.max(nowMs, waitingUntil(asked.node)) + executeOf(asked) + NETWORK_MS
          : Number.NaN,
    });
    if (choice === undefined) return;
    const machine = machines.get(choice.node) as Machine;
    const over = all.begin(choice.node, background);
    if (!machine.up(nowMs)) {
      over({ kind: 'failed', reason: 'lost the connection', unreachable: true });
      const next = new Map([...failed, [choice.node, 'lost the connection']]);
      if (next.size < ATTEMPTS) later(nowMs + NETWORK_MS, () => send(arrival, index, next));
      return;
    }
    const workers = freeAtMs.get(choice.node) as number[];
    const soonest = workers.indexOf(waitingUntil(choice.node));
    const startMs = Math.max(nowMs, workers[soonest] as number);
    const executeMs = executeOf(choice);
    const sentMs = nowMs;
    const endMs = arrival.atMs + arrival.budgetMs;
    const doneMs = startMs + executeMs + NETWORK_MS;
    const version = 'v1';
    const sample = { version, level: choice.level, batch: 1 };
    // What waits is given up when the deadline passes; what runs is not.
    if (startMs < endMs) workers[soonest] = startMs + executeMs;
    if (doneMs > endMs) {
      later(endMs, () => over({ kind: 'cut-off', ...sample, elapsedMs: endMs - sentMs, fault: true }));
      return;
    }
    later(doneMs, () => {
      const excessQueueMs = startMs - sentMs - (choice.expectedQueueMs ?? 0);
      over({
        kind: 'answered',
        sample: { ...sample, networkMs: NETWORK_MS, excessQueueMs, executeMs },
      });
      const price = priceOf('default', choice.level);
      answered++;
      inTime++;
      quality += levels.find((row) => row.level === choice.level)?.quality ?? 0;
      cost += price.fixedNanoUsd + price.perMsNanoUsd * Math.ceil(executeMs);
    });
  };

  for (const [index, arrival] of trace.arrivals.entries())
    later(arrival.atMs, () => send(arrival, index, new Map()));
  for (let atMs = 0; atMs < (trace.arrivals.at(-1)?.atMs ?? 0); atMs += POLL_MS)
    later(atMs, () => void all.refresh(background));
  await all.refresh(background);
  while (agenda.length > 0) {
    const { atMs, act } = agenda.shift() as { atMs: number; act: () => void };
    nowMs = Math.max(nowMs, atMs);
    act();
    if (work.length > 0) await Promise.allSettled(work.splice(0));
  }
  const requests = trace.arrivals.length;
  return {
    requests,
    attainment: inTime / requests,
    meanQuality: quality / Math.max(1, inTime),
    deliveredQuality: quality / requests,
    meanCostMicroUsd: cost / 1000 / Math.max(1, answered),
  };
}

function reportOf(
  { name, workers, slowness }: Machine,
  levels: readonly SimulatedLevel[],
  busy: number,
): NodeReport {
  const profile = { device: 'cpu', threads: 1, batch: 1, samples: 100 };
  return {
    node: name,
    state: 'ready',
    reportedAtMs: 0,
    workers,
    queueLength: 0,
    inFlight: busy,
    models: [
      {
        model: 'm',
        artifactVersion: 'v1',
        levels: levels.map(({ level, executeMs }) => {
          const p50Ms = executeMs * slowness;
          return {
            level,
            resident: true,
            profiles: [{ ...profile, p50Ms, p95Ms: 1.28 * p50Ms, p99Ms: 1.42 * p50Ms }],
          };
        }),
      },
    ],
  };
}

/** Box and Muller's, one of the two. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
