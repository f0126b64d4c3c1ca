import { describe, expect, test } from 'vitest';
import { defaultPolicy, type Policy, policySchema } from '../../schema/policy.ts';
import type { NodeOption } from '../selector/candidates.ts';
import { type DecisionInput, storedNodes } from './decision-input.ts';
import { dryRun, type RecordedDecision, replayedUnder } from './dry-run.ts';

/** Level k takes 10(k+1) ms at the median, 20(k+1) at p95 and p99, and has quality 0.7 + k/10. */
const levels = [0, 1, 2].map((level) => ({
  level,
  quality: 0.7 + level / 10,
  sparsity: 0.6 - 0.3 * level,
  flops: level + 1,
}));
const none = { p50Ms: 0, p95Ms: 0, p99Ms: 0 };
const node: NodeOption = {
  name: 'a',
  nodeClass: 'default',
  network: [{ bytes: 0, ...none }],
  workers: 1,
  load: 0,
  serviceMs: 0,
  times: new Map(
    levels.map(({ level }) => {
      const [p50Ms, p95Ms] = [10 * (level + 1), 20 * (level + 1)];
      return [level, [1, 8, 64].map((batch) => ({ batch, p50Ms, p95Ms, p99Ms: p95Ms }))];
    }),
  ),
};

const dryRunOf = (...asked: Parameters<typeof replayedUnder>) => dryRun(replayedUnder(...asked));

function recorded(latencyMs: number | null, weight = 1, over: Partial<DecisionInput> = {}): RecordedDecision {
  const input: DecisionInput = {
    asked: { latencyMs, costNanoUsd: null, minQuality: null, slaClass: null },
    key: null,
    pinnedLevel: null,
    batch: 1,
    bytes: 100,
    pressure: 0,
    levels,
    nodes: storedNodes([node], 1, []),
    ...over,
  };
  // As it comes back from the database.
  return structuredClone({
    requestId: `r-${latencyMs}`,
    model: 'm',
    atMs: 0,
    weight,
    input: JSON.parse(JSON.stringify(input)),
  });
}

const policy = (over: object): { document: Policy } => ({
  document: policySchema.parse({ ...defaultPolicy, reserveMs: 0, tiers: [], infeasible: 'refuse', ...over }),
});
const open = policy({});

describe('a dry run', () => {
  test('counts requests in whole numbers, whatever each decision stands for', () => {
    const window = Array.from({ length: 20 }, () => recorded(50, 177 / 20));
    expect(dryRunOf(open, open, window)).toMatchObject({ decisions: 20, requests: 177 });
  });

  test('leaves out of the budget what was spent of it before the choice', () => {
    const { after } = dryRunOf(open, open, [recorded(45, 1, { spentMs: 10 })]);
    expect(after.levels).toEqual({ m: { 0: 1 } });
    expect(dryRunOf(open, open, [recorded(45)]).after.levels).toEqual({ m: { 1: 1 } });
    const late = dryRunOf(open, open, [recorded(45, 1, { spentMs: 40 })]).after;
    expect(late).toMatchObject({ served: 0, refused: { latency: 1 } });
  });

  test('takes the body into account, and rows from before the way was learned by size for as long for all', () => {
    const network = [
      { bytes: 0, ...none },
      { bytes: 1_000_000, p50Ms: 30, p95Ms: 30, p99Ms: 30 },
    ];
    const levelsOf = (over: Partial<DecisionInput>) =>
      dryRunOf(open, open, [recorded(45, 1, over)]).after.levels;
    const nodes = storedNodes([{ ...node, network }], 1, []);
    expect(levelsOf({ nodes, bytes: 100 })).toEqual({ m: { 1: 1 } });
    expect(levelsOf({ nodes, bytes: 500_000 })).toEqual({ m: { 0: 1 } });
    expect(levelsOf({ nodes, bytes: 100, answerBytes: 500_000 })).toEqual({ m: { 0: 1 } });
    const old = [{ ...storedNodes([node], 1, [])[0], network: { p50Ms: 15, p95Ms: 15, p99Ms: 15 } }];
    expect(levelsOf({ nodes: old as DecisionInput['nodes'], bytes: 100 })).toEqual({ m: { 0: 1 } });
  });

  test('of the policy in force changes nothing', () => {
    const run = dryRunOf(open, open, [recorded(25), recorded(45), recorded(5)]);
    expect(run).toMatchObject({ decisions: 3, requests: 3, changedShare: 0, changed: [] });
    expect(run.after).toEqual(run.before);
    expect(run.before).toMatchObject({
      levels: { m: { 0: 1 / 3, 1: 1 / 3 } },
      refused: { latency: 1 / 3 },
      served: 2 / 3,
      meanQuality: 0.75,
    });
  });

  test('shows level mix, quality, cost and attainment, before and after, by what each decision stands for', () => {
    const prices = [{ level: 2, fixedNanoUsd: 300 }, { fixedNanoUsd: 100 }];
    const run = dryRunOf(open, policy({ maxSparsity: 0.3, prices }), [recorded(70, 3), recorded(25, 1)]);
    expect(run.before).toMatchObject({
      levels: { m: { 0: 0.25, 2: 0.75 } },
      totalCostNanoUsd: 0,
      attainment: 1,
    });
    expect(run.after).toMatchObject({
      levels: { m: { 2: 0.75 } },
      refused: { latency: 0.25 },
      meanQuality: expect.closeTo(0.9),
      totalCostNanoUsd: 900,
      meanCostNanoUsd: 300,
      attainment: 0.75,
    });
    expect(run.changedShare).toBe(1);
    expect(run.changed.map(({ weight }) => weight)).toEqual([3, 1]);
    expect(run.changed[1]).toMatchObject({
      requestId: 'r-25',
      before: { outcome: 'served', level: 0 },
      after: { outcome: 'latency', level: null },
    });
  });

  test('predicts how often a budget is kept by the quantiles that were measured', () => {
    const at = (quantile: number) => dryRunOf(open, policy({ quantile }), [recorded(25)]).after;
    expect(at(0.95)).toMatchObject({ levels: { m: { 0: 1 } }, attainment: 1 });
    // At the median level 1 takes 20 ms and fits; 25 ms lies at 0.5 + 0.45 * 5/20 of it.
    const { levels: mix, attainment } = at(0.5);
    expect(mix).toEqual({ m: { 1: 1 } });
    expect(attainment).toBeCloseTo(0.6125, 3);
  });

  test('knows classes, keys, canaries and overload', () => {
    const key = { id: 'key_0123456789abcdef', classes: ['bulk'] };
    const classed = policy({ classes: [{ name: 'bulk', minSparsity: 0.5 }], shedAbove: 2 });
    const replayed = (one: RecordedDecision) => dryRunOf(open, classed, [one]).after;
    expect(replayed(recorded(70, 1, { key })).levels).toEqual({ m: { 0: 1 } });
    const wrong = { latencyMs: 70, costNanoUsd: null, minQuality: null, slaClass: 'gold' };
    expect(replayed(recorded(70, 1, { key, asked: wrong })).refused).toEqual({ forbidden: 1 });
    expect(replayed(recorded(70, 1, { pressure: 2 })).refused).toEqual({ shed: 1 });
    const canary = (share: number) => ({
      ...policy({ minSparsity: 0.5, canary: { kind: 'policy', baseline: 1, share } }),
      baseline: open.document,
    });
    expect(dryRunOf(open, canary(0), [recorded(70)]).changedShare).toBe(0);
    expect(dryRunOf(open, canary(1), [recorded(70)]).changedShare).toBe(1);
  });

  test('of nothing recorded is empty, not undefined', () => {
    expect(dryRunOf(open, open, [])).toMatchObject({
      decisions: 0,
      changedShare: 0,
      before: { meanQuality: null },
    });
  });
});
