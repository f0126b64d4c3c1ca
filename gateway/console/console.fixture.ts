/** What an operator's interface answers, for pages that show it. */
import { defaultPolicy } from '../../schema/policy.ts';
import type { Decision, DryRun, FleetNode, Model } from './api.ts';

export function modelLevel(
  level: number,
  value: number,
  predictedMs: number | null,
): Model['levels'][number] {
  return {
    level,
    sparsity: 0.5,
    relativeFlops: (level + 1) / 4,
    relativeParams: 0.5,
    params: 10,
    flops: 10,
    quality: { metric: 'accuracy', value, low: value - 0.01, high: value + 0.01, samples: 100 },
    predictedMs,
    costNanoUsd: predictedMs === null ? null : 1_500_000,
  };
}

export const digits: Model = {
  name: 'digits',
  platform: 'onnxruntime_onnx',
  inputs: [],
  outputs: [],
  artifactVersion: 'p1',
  task: 'classification',
  levels: [modelLevel(0, 0.9, 1), modelLevel(1, 0.95, 3), modelLevel(2, 0.94, 4), modelLevel(3, 0.97, null)],
};

export const goodNode: FleetNode = {
  name: 'a',
  url: 'https://a.example',
  nodeClass: 'gpu',
  usable: true,
  reason: null,
  breaker: 'closed',
  reportAgeMs: 1200,
  inFlightHere: 0,
  networkMs: { p50Ms: 1.25, p95Ms: 2, p99Ms: 3 },
  report: {
    node: 'a',
    state: 'ready',
    reportedAtMs: 1,
    workers: 2,
    queueLength: 5,
    inFlight: 3,
    models: [
      {
        model: 'digits',
        artifactVersion: 'p1',
        levels: [
          { level: 0, resident: true },
          { level: 1, resident: false },
        ],
      },
    ],
  },
};

export const lostNode: FleetNode = {
  ...goodNode,
  name: 'b',
  usable: false,
  reason: 'does not answer',
  breaker: 'open',
  reportAgeMs: null,
  networkMs: null,
  report: null,
};

/** @param level that served it; null where it was refused */
export function decision(
  atMs: number,
  level: number | null,
  { weight = 1, totalMs = 5, model = 'digits', costNanoUsd = 0, attempts = level === null ? [] : ['a'] } = {},
): Decision {
  const status = level === null ? 503 : 200;
  return {
    id: atMs,
    atMs,
    requestId: `r${atMs}`,
    model,
    keyId: null,
    slaClass: null,
    policyVersion: 1,
    status,
    weight,
    record: { rules: { budgetMs: 10 }, outcome: { status, level, totalMs, costNanoUsd, attempts } },
  };
}

const served = {
  outcome: 'served',
  level: 1,
  node: 'a',
  quality: 0.95,
  costNanoUsd: 2e9,
  attainment: 1,
} as const;
const refused = {
  outcome: 'latency',
  level: null,
  node: null,
  quality: null,
  costNanoUsd: 0,
  attainment: 0,
} as const;

export const dryRun: DryRun = {
  against: 4,
  warnings: [{ path: 'canary', message: 'does not show here' }],
  decisions: 2,
  requests: 40,
  before: {
    levels: { digits: { '1': 0.75, '10': 0.25 } },
    served: 1,
    refused: {},
    attainment: 0.99,
    meanQuality: 0.95,
    meanCostNanoUsd: 2e9,
    totalCostNanoUsd: 8e10,
  },
  after: {
    levels: { digits: { '2': 0.5 } },
    served: 0.5,
    refused: { latency: 0.5 },
    attainment: 0.5,
    meanQuality: null,
    meanCostNanoUsd: null,
    totalCostNanoUsd: 0,
  },
  changedShare: 0.5,
  changed: [{ requestId: 'r1', atMs: 0, model: 'digits', weight: 20, before: served, after: refused }],
};

export const policyText = JSON.stringify(defaultPolicy);
