/**
 * The bursty trace on real nodes: the gateway in workerd before three node processes of a random vision transformer, beside
 * simpler ways to route. Rates and budgets are those of the simulation in proportion to what the dense level takes here. The
 * ways take turns, burst by burst, so that all meet the same machine; in each turn a node is killed at the same moment.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { openArtifact } from '../../schema/artifact/store.ts';
import { headerNames, serverTiming } from '../../schema/headers.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { defaultPolicy } from '../../schema/policy.ts';
import { uploadArtifact } from '../../trainer/upload/upload-artifact.ts';
import { benchArtifact } from '../bench-node/artifacts.ts';
import { startLocalGateway } from '../local/local-gateway.ts';
import { added } from '../local/statistics.ts';
import { realNodes } from './real-nodes.ts';
import { type RealRouter, realRouters } from './real-routers.ts';
import type { BudgetOutcome, Outcome } from './run.ts';
import { sender } from './sender.ts';
import { type Arrival, burstyTrace } from './trace.ts';

export interface ReplayOptions {
  /** For the artifact, which is kept. */
  readonly directory: string;
  readonly seconds: number;
  readonly seed: number;
  readonly log: (line: string) => void;
}

/** The dense level's time in the simulation, which rates and budgets there are made for. */
const SIMULATED_DENSE_MS = 25;
/** Of one core, what dense answers would take in the calm; a burst is three times that. */
const CALM_LOAD = 0.4;
/** Of the trace, in one turn: a burst and the calm after it. */
const TURN_MS = 10_000;
/** Before each turn, so that it begins as if there had been requests all the time. */
const WARM_UP = 20;
const secrets = {
  operatorToken: 'operator-token-of-the-replay',
  nodeToken: 'node-token-of-the-replay-0001',
  keyPepper: 'pepper-of-the-replay-012345678',
};

export async function replay({
  directory,
  seconds,
  seed,
  log,
}: ReplayOptions): Promise<Record<string, Outcome>> {
  const artifact = await benchArtifact(directory, { size: 'tiny', levels: 6, from: 0.2, own: false });
  const { manifest } = await openArtifact(artifact);
  const ending = new AbortController();
  const nodes = await realNodes(artifact, ending.signal);
  const gateway = await startLocalGateway({
    port: 0,
    nodes: nodes.all.map(({ name, port }) => ({ name, url: `http://127.0.0.1:${port}` })),
    ...secrets,
  });
  const send = sender();
  try {
    const key = await preparedGateway(gateway.url, artifact);
    const port = Number(new URL(gateway.url).port);
    const routers = realRouters({ manifest, nodes: nodes.all, gateway: { port, key }, sender: send });
    const scale = nodes.denseMs / SIMULATED_DENSE_MS;
    const calmPerS = (CALM_LOAD * 1000) / nodes.denseMs;
    const { arrivals } = burstyTrace(seed, seconds * 1000, { calmPerS, budgetScale: scale });
    log(
      `dense ${nodes.denseMs.toFixed(1)} ms, ${calmPerS.toFixed(0)} requests/s in the calm, budgets x ${scale.toFixed(2)}`,
    );
    const names = Object.keys(routers);
    const totals = Object.fromEntries(names.map((name) => [name, { ...NOTHING }]));
    const tallies = new Map(names.map((name): [string, BudgetTally] => [name, new Map()]));
    for (let turn = 0; turn * TURN_MS < seconds * 1000; turn++) {
      const from = turn * TURN_MS;
      const these = arrivals
        .filter(({ atMs }) => atMs >= from && atMs < from + TURN_MS)
        .map((arrival) => ({ ...arrival, atMs: arrival.atMs - from }));
      for (let i = 0; i < names.length; i++) {
        const name = names[(i + turn) % names.length] as string;
        const router = routers[name] as RealRouter;
        for (let count = 0; count < WARM_UP; count++) await router(1000, count);
        const tally = tallies.get(name) as BudgetTally;
        const [total] = await Promise.all([played(these, router, manifest, tally), nodes.flap()]);
        totals[name] = added(totals[name] as Total, total);
      }
      log(`${turn + 1} of ${Math.ceil((seconds * 1000) / TURN_MS)} turns`);
    }
    return Object.fromEntries(
      names.map((name) => {
        const byBudget = budgetOutcomes(tallies.get(name) as BudgetTally);
        return [name, { ...outcomeOf(totals[name] as Total), byBudget }];
      }),
    );
  } finally {
    ending.abort();
    send.close();
    await gateway.close();
    await nodes.close();
  }
}

interface Total {
  readonly requests: number;
  readonly inTime: number;
  readonly quality: number;
  readonly costMicroUsd: number;
}

/** By budget in milliseconds; a trace has few different ones. */
type BudgetTally = Map<number, { requests: number; inTime: number }>;

function budgetOutcomes(tally: BudgetTally): BudgetOutcome[] {
  return [...tally]
    .sort(([a], [b]) => a - b)
    .map(([budgetMs, { requests, inTime }]) => ({ budgetMs, requests, attainment: inTime / requests }));
}

const NOTHING: Total = { requests: 0, inTime: 0, quality: 0, costMicroUsd: 0 };

function outcomeOf({ requests, inTime, quality, costMicroUsd }: Total): Outcome {
  return {
    requests,
    attainment: inTime / requests,
    meanQuality: quality / Math.max(1, inTime),
    deliveredQuality: quality / requests,
    meanCostMicroUsd: costMicroUsd / Math.max(1, inTime),
  };
}

/**
 * Sends each request at its time, whatever became of those before; its time runs from when it was due.
 * @param tally counts them on
 */
async function played(
  arrivals: readonly Arrival[],
  router: RealRouter,
  { levels }: Manifest,
  tally: BudgetTally,
): Promise<Total> {
  const startMs = performance.now();
  let inTime = 0;
  let quality = 0;
  let costMicroUsd = 0;
  const one = async ({ atMs, budgetMs }: Arrival, index: number) => {
    await pause(Math.max(0, startMs + atMs - performance.now()));
    const reply = await router(budgetMs, index);
    const tookMs = performance.now() - startMs - atMs;
    const counted = tally.get(budgetMs) ?? { requests: 0, inTime: 0 };
    tally.set(budgetMs, counted);
    counted.requests++;
    if (reply?.status !== 200 || tookMs > budgetMs) return;
    inTime++;
    counted.inTime++;
    quality += levels[Number(reply.header(headerNames.pathLevel))]?.quality.value ?? 0;
    // One micro-dollar for each begun millisecond, as in the simulation.
    costMicroUsd += Math.ceil(serverTiming(reply.header('server-timing') ?? '', 'execute') ?? 0);
  };
  await Promise.all(arrivals.map(one));
  return { requests: arrivals.length, inTime, quality, costMicroUsd };
}

/** With the artifact, a policy that only looks at budgets, as the simulation's, and a key. @returns the key */
async function preparedGateway(url: string, artifact: string): Promise<string> {
  await uploadArtifact({ dir: artifact, url, token: secrets.operatorToken });
  const headers = { authorization: `Bearer ${secrets.operatorToken}`, 'content-type': 'application/json' };
  const asked = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${url}${path}`, { ...init, headers: { ...headers, ...init.headers } });
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return response;
  };
  const etag = (await asked('/v1/policy')).headers.get('etag') ?? '';
  const body = JSON.stringify({ ...defaultPolicy, tiers: [] });
  await asked('/v1/policy', { method: 'PUT', body, headers: { 'if-match': etag } });
  const created = await asked('/v1/keys', { method: 'POST', body: JSON.stringify({ name: 'replay' }) });
  return ((await created.json()) as { key: string }).key;
}
