/** What the console says of fleet, traffic, models and policies. */
import { describe, expect, test } from 'vitest';
import { decision, digits, dryRun, goodNode, lostNode, modelLevel } from './console.fixture.ts';
import { byNeed, fleetTable } from './fleet-table.ts';
import { frontierOf, levelsTable } from './frontier-chart.ts';
import { changedTable, changesTable, dryRunTable, versionsTable } from './policy-tables.ts';
import { requestsOf, spanText, trafficOf, trafficTable } from './traffic.ts';

test('a node is told with its state, and without a report as far as it is known', () => {
  expect(fleetTable([goodNode, lostNode]).rows).toEqual([
    ['a', 'gpu', 'in service', 'digits 1/2', '2', '5', '3', '1.3', '1.2 s ago'],
    ['b', 'gpu', 'does not answer', '-', '-', '-', '-', '-', 'never'],
  ]);
});

test('nodes out of service come first', () => {
  expect(byNeed([goodNode, lostNode]).map(({ name }) => name)).toEqual(['b', 'a']);
});

describe('traffic', () => {
  const decisions = [
    decision(1000, 0, { weight: 10, costNanoUsd: 1e9 }),
    decision(1500, 1, { weight: 20, totalMs: 11 }),
    decision(1999, null, { weight: 10 }),
    decision(1600, null, { weight: 10, attempts: ['a'] }),
    decision(1000, 1, { model: 'other' }),
  ];

  test('counts requests, not the decisions that stand for them, in equal spans', () => {
    const [first, second] = trafficOf(decisions, 2).get('digits') ?? [];
    const counts = { refused: 0, failed: 0, inTime: 0 };
    expect(first).toEqual({ ...counts, startMs: 1000, endMs: 1500, levels: new Map([[0, 10]]), inTime: 10 });
    expect(second).toEqual({
      ...counts,
      startMs: 1500,
      endMs: 2000,
      levels: new Map([[1, 20]]),
      refused: 10,
      failed: 10,
    });
    expect(second && requestsOf(second)).toBe(40);
  });

  test('is summed up by model, level by level', () => {
    expect(trafficTable(decisions)).toEqual({
      header: ['model', 'requests', 'in time', 'refused', 'failed', 'mean cost, USD', 'level 0', 'level 1'],
      rows: [
        ['digits', '50', '20.0 %', '20.0 %', '20.0 %', '0.2', '20.0 %', '40.0 %'],
        ['other', '1', '100.0 %', '0.0 %', '0.0 %', '0', '0.0 %', '100.0 %'],
      ],
    });
  });

  test('is told with the time that it is of, and with days where they are several', () => {
    const noon = new Date('2026-11-30T12:00:00').getTime();
    const day = 86_400_000;
    expect(spanText([decision(noon + 1000, 0), decision(noon, 0)])).toBe('2026-11-30 12:00:00 to 12:00:01');
    expect(spanText([decision(noon, 0), decision(noon + day, 0)])).toBe(
      '2026-11-30 12:00:00 to 2026-12-01 12:00:00',
    );
    expect(spanText([])).toBe('');
  });

  test('of nobody is nothing', () => {
    expect(trafficOf([])).toEqual(new Map());
    expect(trafficTable([]).rows).toEqual([]);
  });
});

describe('a model', () => {
  test('is told level by level, also those that nobody serves', () => {
    const { rows } = levelsTable(digits);
    expect(rows[0]).toEqual(['0', '0.9', '0.89 to 0.91', '25.0 %', '1.00', '0.0015']);
    expect(rows[3]).toEqual(['3', '0.97', '0.96 to 0.98', '100.0 %', 'not served', '-']);
  });

  test('has a frontier without levels that are beaten, or that nobody serves', () => {
    expect(frontierOf(digits.levels).map(({ level }) => level.level)).toEqual([0, 1]);
    const alike = [modelLevel(0, 0.9, 2), modelLevel(1, 0.95, 2)];
    expect(frontierOf(alike).map(({ level }) => level.level)).toEqual([1]);
  });
});

describe('a policy', () => {
  test('is held beside the one in force, request by request', () => {
    expect(dryRunTable(dryRun).rows).toEqual([
      ['served', '100.0 %', '50.0 %'],
      ['in time, predicted', '99.0 %', '50.0 %'],
      ['mean quality', '0.95', '-'],
      ['mean cost, USD', '2', '-'],
      ['refused: latency', '0.0 %', '50.0 %'],
      ['digits, level 1', '75.0 %', '0.0 %'],
      ['digits, level 2', '0.0 %', '50.0 %'],
      ['digits, level 10', '25.0 %', '0.0 %'],
    ]);
    const [row] = changedTable(dryRun).rows;
    expect(row?.slice(3)).toEqual(['20', 'level 1 at a, 2 USD', 'refused: latency']);
  });

  test('is told by what it changes, long values cut', () => {
    const changes = [
      { path: 'reserveMs', from: 1, to: 2 },
      { path: 'classes[0]', to: { name: 'x'.repeat(300) } },
    ];
    const { rows } = changesTable({ changes });
    expect(rows[0]).toEqual(['reserveMs', '1', '2']);
    expect(rows[1]?.[1]).toBe('-');
    expect(rows[1]?.[2]).toMatch(/^\{"name":"x+…$/);
  });

  test('has versions, of which the newest is in force', () => {
    const versions = [
      { version: 2, createdAtMs: 1, createdBy: 'ann', rollbackTo: 0 },
      { version: 0, createdAtMs: null, createdBy: null, rollbackTo: null },
    ];
    const rows = versionsTable(versions).rows.map(([version, , by, what]) => [version, by, what]);
    expect(rows).toEqual([
      ['2', 'ann', 'in force, again version 0'],
      ['0', '-', ''],
    ]);
  });
});
