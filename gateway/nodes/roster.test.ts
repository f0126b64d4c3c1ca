import { describe, expect, test } from 'vitest';
import type { NodeReport } from '../../schema/node-report.ts';
import { cell } from '../state/cell.ts';
import { answered, report as reportOf } from './fleet.fixture.ts';
import { fleet } from './fleet.ts';
import { type RegisteredNode, roster } from './roster.ts';

const report = (over: Partial<NodeReport> = {}): NodeReport =>
  reportOf('whatever it calls itself', { startedAtMs: 1, ...over });

const row = (name: string, over: Partial<RegisteredNode> = {}): RegisteredNode => ({
  name,
  url: `https://${name}.example.org`,
  nodeClass: 'default',
  draining: false,
  heardAtMs: 1_000_000,
  report: report(),
  ...over,
});

function bench(rows: RegisteredNode[], listed = [] as { name: string; url: string }[]) {
  const state = { nowMs: 1_000_000, rows };
  const now = () => state.nowMs;
  const background = { waitUntil: () => {} };
  const addresses = listed.map((node) => ({ ...node, nodeClass: 'default', draining: false }));
  const nodes = fleet({
    nodes: addresses,
    now: () => state.nowMs,
    fetchReport: () => Promise.reject(new Error('cannot be reached')),
  });
  const load = async () => state.rows.slice();
  const registered = cell({ load, ttlMs: 0, waitFromMs: 0, now: () => state.nowMs, onError: () => {} });
  const follow = roster({ listed: addresses, registered, fleet: nodes, now, at: (ms) => ms });
  const seen = async () => {
    await follow.follow(background);
    return nodes.view().map(({ name, reason }) => `${name}: ${reason ?? 'usable'}`);
  };
  return { state, nodes, seen };
}

describe('the roster', () => {
  test('makes a registered node usable by what it told, without asking it', async () => {
    const { seen } = bench([row('a'), row('b', { heardAtMs: null, report: null })]);
    expect(await seen()).toEqual(['a: usable']);
  });

  test('follows drains, goodbyes, removals and new nodes', async () => {
    const { state, seen } = bench([row('a'), row('b')]);
    await seen();
    state.rows = [row('a', { draining: true }), row('b')];
    expect(await seen()).toEqual(['a: is taken out of service', 'b: usable']);
    state.rows = [row('a', { heardAtMs: 1_000_001, report: report({ state: 'draining' }) }), row('c')];
    expect(await seen()).toEqual(['a: is draining', 'c: usable']);
  });

  test('one that was heard of by a clock that was ahead does not make others look silent', async () => {
    const { seen } = bench([row('a', { heardAtMs: 90_000_000 }), row('b')]);
    expect(await seen()).toEqual(['a: usable', 'b: usable']);
  });

  test('a node that falls silent is not used for long, and is left out while others are heard', async () => {
    const { state, seen } = bench([row('a'), row('b')]);
    state.nowMs += 10_000;
    state.rows = [row('a'), row('b', { heardAtMs: state.nowMs })];
    expect(await seen()).toEqual(['a: has not reported for a while', 'b: usable']);
    state.nowMs += 60_000;
    for (let read = 0; read < 3; read++) {
      state.nowMs += 2000;
      state.rows = [row('a'), row('b', { heardAtMs: state.nowMs })];
      await seen();
    }
    expect(await seen()).toEqual(['b: usable']);
    state.rows = [row('a', { heardAtMs: state.nowMs }), row('b', { heardAtMs: state.nowMs })];
    expect(await seen()).toEqual(['a: usable', 'b: usable']);
  });

  test('an isolate that is new leaves out who has been silent for long', async () => {
    const { seen } = bench([row('a', { heardAtMs: 900_000 }), row('b')]);
    expect(await seen()).toEqual(['b: usable']);
  });

  test('where the clock is set ahead, who is heard of first does not make others look silent', async () => {
    const { state, seen } = bench([row('a'), row('b')]);
    await seen();
    state.nowMs += 86_400_000;
    state.rows = [row('a'), row('b', { heardAtMs: state.nowMs })];
    expect(await seen()).toEqual(['a: has not reported for a while', 'b: usable']);
    state.rows = [row('a', { heardAtMs: state.nowMs }), row('b', { heardAtMs: state.nowMs })];
    expect(await seen()).toEqual(['a: usable', 'b: usable']);
  });

  test('when nobody is heard of, everybody stays to be asked', async () => {
    const { state, seen } = bench([row('a'), row('b')]);
    state.nowMs += 600_000;
    expect(await seen()).toEqual(['a: has not reported for a while', 'b: has not reported for a while']);
  });

  test('what is known to be newer stays, and another process is begun anew with', async () => {
    const { state, seen, nodes } = bench([row('a')]);
    await seen();
    state.rows = [row('a', { heardAtMs: 999_999, report: report({ queueLength: 9 }) })];
    await seen();
    expect(nodes.view()[0]?.report?.queueLength).toBe(0);
    const over = nodes.begin('a', { waitUntil: () => {} });
    over(answered());
    expect(nodes.view()[0]?.networkMs).not.toBeNull();
    state.rows = [row('a', { heardAtMs: 1_000_005, report: report({ startedAtMs: 2 }) })];
    await seen();
    expect(nodes.view()[0]).toMatchObject({ networkMs: null, usable: true });
  });

  test('a node of the setting is not replaced by a registration of its name', async () => {
    const { seen, nodes } = bench([row('a')], [{ name: 'a', url: 'https://listed.example.org' }]);
    await seen();
    expect(nodes.view().map(({ url }) => url)).toEqual(['https://listed.example.org']);
  });
});
