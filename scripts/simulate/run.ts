/**
 * Plays a trace against machines in simulated time. A router sees what a gateway sees: which nodes it believes to be up,
 * its own requests under way, and measured times; the machines (`machine.ts`) do what they do.
 */
import { fleet } from '../../gateway/nodes/fleet.ts';
import type { TableSpec } from '../../gateway/nodes/table-cache.ts';
import { expectedOf } from '../../gateway/selector/candidate-table.ts';
import { costNanoUsd, type LevelOption, type PriceOf } from '../../gateway/selector/candidates.ts';
import type { Prediction } from '../../gateway/selector/predict.ts';
import { defaultPolicy } from '../../schema/policy.ts';
import { sharedCores } from './cores.ts';
import { NETWORK_MS, networkMs, transferMs } from './link.ts';
import { type SimulatedMachine, simulatedMachine } from './machine.ts';
import { reportOf } from './machine-report.ts';
import { type Arrival, type Machine, randomOf, type Trace } from './trace.ts';

export interface SimulatedLevel extends LevelOption {
  /** Median execution time on a node of slowness 1. */
  readonly executeMs: number;
}

/** Where a request goes; undefined refuses it. */
export interface Choice {
  readonly level: number;
  readonly node: string;
  /** What the router went by; undefined for one that predicts nothing. */
  readonly foreseen?: {
    readonly predicted: Prediction;
    /** It fits the budget. */
    readonly fits: boolean;
    readonly expectedQueueMs: number;
    readonly usualMs: number;
  };
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
  /** The smallest budget first. */
  readonly byBudget?: readonly BudgetOutcome[];
}

export interface BudgetOutcome {
  readonly budgetMs: number;
  readonly requests: number;
  readonly attainment: number;
}

const ATTEMPTS = 2;
const POLL_MS = 250;
/** As the gateway's own default. */
const PROBE_SHARE = 0.01;
const PROBE_BOUND_MS = 5000;

/** @param cores that all machines share; without it each worker has one of its own */
export async function simulate(
  trace: Trace,
  levels: readonly SimulatedLevel[],
  priceOf: PriceOf,
  router: Router,
  seed: number,
  cores = Number.POSITIVE_INFINITY,
): Promise<Outcome> {
  const random = randomOf(seed);
  let nowMs = 0;
  const work: Promise<unknown>[] = [];
  const background = { waitUntil: (promise: Promise<unknown>) => void work.push(promise) };
  const machines = new Map(trace.machines.map((machine) => [machine.name, machine]));
  /** What happens later, soonest first. */
  const agenda: { atMs: number; act: () => void }[] = [];
  const later = (atMs: number, act: () => void) => {
    let place = agenda.length;
    while (place > 0 && (agenda[place - 1] as { atMs: number }).atMs > atMs) place--;
    agenda.splice(place, 0, { atMs, act });
  };
  /** Now, or when it is time. */
  const at = (atMs: number, act: () => void) => (atMs > nowMs ? later(atMs, act) : act());
  const shared = sharedCores(cores, { now: () => nowMs, later });
  const working = new Map(
    trace.machines.map(({ name, workers, slowness }) => [
      name,
      simulatedMachine(workers, slowness, shared, () => nowMs),
    ]),
  );
  const workOf = (name: string) => working.get(name) as SimulatedMachine;
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
      return reportOf(machine, levels, workOf(name));
    },
  });
  const spec: TableSpec = {
    model: 'm',
    version: { version: 'v1', levels },
    quantile: defaultPolicy.quantile,
    batch: 1,
    length: 0,
    hopBytes: 0,
    priceOf,
    policyVersion: 1,
  };

  let inTime = 0;
  let quality = 0;
  let cost = 0;

  /** A copy that shows how a node is, as the gateway sends them. */
  const probe = (chosen: Choice, executeOf: (choice: Choice) => number, requestBytes: number) => {
    const name = all.probeTarget(spec, chosen.node, random() < PROBE_SHARE);
    const machine = name === undefined ? undefined : machines.get(name);
    if (name === undefined || machine === undefined) return;
    const { usualMs, expectedQueueMs } = expectedOf(all.table(spec), { node: name, level: chosen.level });
    const over = all.begin(name, background, { executeMs: usualMs, probe: true });
    if (!machine.up(nowMs)) {
      over({ kind: 'failed', reason: 'lost the connection', unreachable: true });
      return;
    }
    const executeMs = executeOf({ ...chosen, node: name });
    const arrivedMs = nowMs + transferMs(requestBytes);
    const answer = (startMs: number, tookMs: number) =>
      over({
        kind: 'answered',
        sample: {
          model: 'm',
          version: 'v1',
          level: chosen.level,
          batch: 1,
          length: 0,
          networkMs: networkMs(requestBytes),
          streamed: false,
          requestBytes,
          answerBytes: 0,
          queueMs: startMs - arrivedMs,
          expectedQueueMs,
          executeMs: tookMs,
        },
      });
    const endMs = nowMs + PROBE_BOUND_MS;
    at(arrivedMs, () =>
      workOf(name).submit({
        executeMs,
        endMs,
        done(startMs) {
          const tookMs = nowMs - startMs;
          later(nowMs + NETWORK_MS, () => answer(startMs, tookMs));
        },
      }),
    );
  };

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
      spec: { ...spec, hopBytes: arrival.bytes },
      nowMs,
      random,
      doneAtMs: (asked) =>
        machines.get(asked.node)?.up(nowMs)
          ? Math.max(
              nowMs + transferMs(arrival.bytes),
              workOf(asked.node).beginsMs(arrival.atMs + arrival.budgetMs),
            ) +
            executeOf(asked) +
            NETWORK_MS
          : Number.NaN,
    });
    if (choice === undefined) return;
    const machine = machines.get(choice.node) as Machine;
    const { predicted, expectedQueueMs = 0, usualMs = 0 } = choice.foreseen ?? {};
    const over = all.begin(choice.node, background, {
      executeMs: usualMs,
      endMs: arrival.atMs + arrival.budgetMs,
      promised: choice.foreseen?.fits ? spec.quantile : undefined,
    });
    if (!machine.up(nowMs)) {
      over({ kind: 'failed', reason: 'lost the connection', unreachable: true });
      const next = new Map([...failed, [choice.node, 'lost the connection']]);
      if (next.size < ATTEMPTS) later(nowMs + NETWORK_MS, () => send(arrival, index, next));
      return;
    }
    const executeMs = executeOf(choice);
    const { bytes: requestBytes } = arrival;
    const [sentMs, arrivedMs] = [nowMs, nowMs + transferMs(requestBytes)];
    const endMs = arrival.atMs + arrival.budgetMs;
    const sample = { model: 'm', version: 'v1', level: choice.level, batch: 1, length: 0 };
    if (predicted !== undefined && failed.size === 0) probe(choice, executeOf, requestBytes);
    let isAnswered = false;
    const answer = (startMs: number, tookMs: number) => {
      isAnswered = true;
      const queueMs = startMs - arrivedMs;
      over({
        kind: 'answered',
        sample: {
          ...sample,
          networkMs: networkMs(requestBytes),
          streamed: false,
          requestBytes,
          answerBytes: 0,
          queueMs,
          expectedQueueMs,
          executeMs: tookMs,
        },
      });
      inTime++;
      quality += levels.find((row) => row.level === choice.level)?.quality ?? 0;
      cost += costNanoUsd(priceOf('default', choice.level), tookMs, requestBytes);
    };
    at(arrivedMs, () =>
      workOf(choice.node).submit({
        executeMs,
        endMs,
        done(startMs) {
          const tookMs = nowMs - startMs;
          if (nowMs + NETWORK_MS <= endMs) later(nowMs + NETWORK_MS, () => answer(startMs, tookMs));
        },
      }),
    );
    later(endMs, () => {
      if (isAnswered) return;
      const elapsedMs = endMs - sentMs;
      const fault = predicted === undefined || elapsedMs >= predicted.totalMs;
      const ranMs = elapsedMs - (predicted === undefined ? 0 : predicted.networkMs + predicted.queueMs);
      over({ kind: 'cut-off', ...sample, executeMs: Math.max(0, ranMs), expectedQueueMs, fault });
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
    meanCostMicroUsd: cost / 1000 / Math.max(1, inTime),
  };
}

/** Box and Muller's, one of the two. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
