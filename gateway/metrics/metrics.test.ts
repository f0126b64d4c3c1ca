import { describe, expect, test } from 'vitest';
import type { DecisionRecord } from '../inference/decision-record.ts';
import type { NodeView } from '../nodes/view.ts';
import { boundedLabels } from './bounded-labels.ts';
import { gatewayMetrics } from './metrics.ts';

type Over = Partial<Omit<DecisionRecord, 'outcome' | 'rules'>> & {
  outcome?: Partial<DecisionRecord['outcome']>;
  rules?: Partial<DecisionRecord['rules']>;
};

function record({ outcome, rules, ...over }: Over = {}): DecisionRecord {
  return {
    model: 'm',
    kind: 'serve',
    fits: true,
    ...over,
    rules: { slaClass: 'gold', budgetMs: 50, ...rules },
    outcome: {
      status: 200,
      level: 2,
      totalMs: 20,
      selectMs: 0,
      queueMs: 1,
      executeMs: 10,
      networkMs: 9,
      costNanoUsd: 2000,
      attempts: ['a'],
      hedges: 0,
      ...outcome,
    },
  } as DecisionRecord;
}

const node = (name: string, over: Partial<NodeView> = {}) =>
  ({ name, usable: true, breaker: 'closed', inFlightHere: 0, reportAgeMs: 500, ...over }) as NodeView;

/** Series by name and labels, the isolate's left out. */
async function series(metrics: ReturnType<typeof gatewayMetrics>): Promise<Map<string, number>> {
  const { text } = await metrics.expose();
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      const name = line
        .slice(0, at)
        .replace(/isolate="i1",?/, '')
        .replace(',}', '}')
        .replace('{}', '');
      return [name.replace('spp_gateway_', ''), Number(line.slice(at + 1))];
    }),
  );
}

const bench = (nodes: NodeView[] = []) => gatewayMetrics('i1', { view: () => nodes, pressure: () => 1.5 });

describe('metrics', () => {
  test('count decisions, attainment, second tries, hedges, cost and times', async () => {
    const metrics = bench();
    metrics.decided(record());
    metrics.decided(record({ outcome: { totalMs: 51, attempts: ['a', 'b'] } }));
    metrics.decided(record({ outcome: { attempts: ['a', 'b'], hedges: 1 } }));
    metrics.decided(record({ kind: 'infeasible', outcome: { status: 422, level: null, attempts: [] } }));
    metrics.decided(record({ outcome: { status: 400, level: null } }));
    const now = await series(metrics);
    const of = (name: string) => now.get(name);
    expect(of('requests_total{model="m",class="gold",decision="fits",level="2",status="200"}')).toBe(3);
    expect(of('requests_total{model="m",class="gold",decision="infeasible",level="none",status="422"}')).toBe(
      1,
    );
    expect(of('deadlines_total{class="gold",outcome="kept"}')).toBe(2);
    expect(of('deadlines_total{class="gold",outcome="missed"}')).toBe(1);
    // A wrong request never had a budget to keep.
    expect(of('deadlines_total{class="gold",outcome="refused"}')).toBe(1);
    expect([of('retries_total'), of('hedges_total')]).toEqual([1, 1]);
    expect(of('cost_usd_total{class="gold"}')).toBeCloseTo(10e-6, 12);
    expect(of('request_seconds_bucket{le="0.025",class="gold"}')).toBe(4);
    expect(of('request_seconds_count{class="gold"}')).toBe(5);
    expect(of('part_seconds_sum{part="execute"}')).toBeCloseTo(0.03, 9);
  });

  test('tell of refusals by code, and of the fleet as it is now', async () => {
    const nodes = [node('a'), node('b', { usable: false, breaker: 'open', reportAgeMs: null })];
    const metrics = bench(nodes);
    metrics.refused('cost-exhausted');
    const before = await series(metrics);
    expect(before.get('refusals_total{code="cost-exhausted"}')).toBe(1);
    expect(before.get('node_usable{node="b"}')).toBe(0);
    expect(before.get('node_breaker{node="b"}')).toBe(2);
    expect(before.get('node_report_age_seconds{node="a"}')).toBe(0.5);
    expect(before.has('node_report_age_seconds{node="b"}')).toBe(false);
    expect(before.get('fleet_pressure')).toBe(1.5);
    nodes.pop();
    expect((await series(metrics)).has('node_usable{node="b"}')).toBe(false);
  });

  test('stay bounded in number, whatever they are told of', async () => {
    const metrics = bench();
    for (let i = 0; i < 3000; i++)
      metrics.decided(record({ model: `m${i}`, rules: { slaClass: `c${i}` }, outcome: { level: i } }));
    const now = await series(metrics);
    expect(now.size).toBeLessThan(20_000);
    const named = [...now.keys()].filter((name) => name.startsWith('requests_total'));
    expect(named).toHaveLength(501);
    const total = named.reduce((sum, name) => sum + (now.get(name) ?? 0), 0);
    expect(total).toBe(3000);
  });

  test('beyond the limit new values are told as other ones, known values as themselves', () => {
    const bounded = boundedLabels(2);
    expect([['a'], ['b'], ['c'], ['a']].map(bounded)).toEqual([['a'], ['b'], ['other'], ['a']]);
  });
});
