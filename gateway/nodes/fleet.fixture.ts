/** A fleet under a hand-driven clock, and what its nodes say, for tests. */
import type { NodeReport } from '../../schema/node-report.ts';
import { free } from '../selector/candidates.ts';
import { type Fleet, fleet } from './fleet.ts';
import type { NodeAddress } from './node-address.ts';
import type { Outcome } from './outcome.ts';
import type { TableSpec } from './table-cache.ts';

export const addresses: NodeAddress[] = ['a', 'b'].map((name) => ({
  name,
  url: `http://${name}`,
  nodeClass: 'default',
  draining: false,
}));

export const spec = (version = 'v1', model = 'm'): TableSpec => ({
  model,
  version: { version, levels: [{ level: 0, quality: 0.9, sparsity: 0, flops: 1 }] },
  quantile: 0.95,
  batch: 1,
  length: 0,
  hopBytes: 100,
  priceOf: free,
  policyVersion: 1,
});

export const answered = (over: Partial<Extract<Outcome, { kind: 'answered' }>['sample']> = {}): Outcome => ({
  kind: 'answered',
  sample: {
    model: 'm',
    version: 'v1',
    level: 0,
    batch: 1,
    length: 0,
    networkMs: 7,
    streamed: false,
    requestBytes: 100,
    answerBytes: 0,
    queueMs: 0,
    expectedQueueMs: 0,
    executeMs: 9,
    ...over,
  },
});
export const lost: Outcome = { kind: 'failed', reason: 'lost the connection', unreachable: true };
export const broken: Outcome = { kind: 'failed', reason: 'answers 500', unreachable: false };
export const cutOff = (elapsedMs: number, fault = true): Outcome => ({
  kind: 'cut-off',
  model: 'm',
  version: 'v1',
  level: 0,
  batch: 1,
  length: 0,
  executeMs: elapsedMs,
  expectedQueueMs: 0,
  fault,
});

export function report(node: string, over: Partial<NodeReport> = {}): NodeReport {
  const profile = { device: 'cpu', threads: 1, batch: 1, samples: 30, p50Ms: 2, p95Ms: 3, p99Ms: 4 };
  return {
    node,
    state: 'ready',
    reportedAtMs: 0,
    workers: 2,
    queueLength: 0,
    inFlight: 0,
    models: [
      { model: 'm', artifactVersion: 'v1', levels: [{ level: 0, resident: true, profiles: [profile] }] },
    ],
    ...over,
  };
}

/** A fleet whose nodes answer as `answers` says; an answer takes 1 ms. */
export function bench(names: readonly NodeAddress[] = addresses.slice(0, 1)) {
  const state = { nowMs: 1_000_000 };
  const asked: string[] = [];
  const work: Promise<unknown>[] = [];
  const answers: Record<string, () => NodeReport | Promise<NodeReport>> = {};
  for (const { name } of names) answers[name] = () => report(name);
  const all = fleet({
    nodes: names,
    now: () => state.nowMs,
    fetchReport: async ({ name }) => {
      asked.push(name);
      const answer = await (answers[name] as () => NodeReport | Promise<NodeReport>)();
      state.nowMs += 1;
      return answer;
    },
  });
  const background = { waitUntil: (promise: Promise<unknown>) => void work.push(promise) };
  const refresh = () => all.refresh(background);
  const settle = () => Promise.all(work.splice(0));
  /** Sends so many requests to a node, with this outcome each. */
  const send = (name: string, outcome: Outcome, times = 1) => {
    for (let i = 0; i < times; i++) all.begin(name, background)(outcome);
  };
  return { all, state, asked, answers, refresh, settle, send, background };
}

export const reasons = (all: Fleet, of = spec()) => [...all.table(of).unusable];
/** Of the first node. */
export const predicted = (all: Fleet) => {
  const { networkMs, waitMs, executeMs } = all.table(spec());
  return { networkMs: networkMs[0], waitMs: waitMs[0], executeMs: executeMs[0] };
};
