import { Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultPolicy } from '../../schema/policy.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import type { DecisionRecord } from '../inference/decision-record.ts';
import { rulesOf } from '../selector/rules.ts';
import { type Database, openDatabase } from '../storage/database.ts';
import {
  decisionsOf,
  KEPT_MS,
  listDecisions,
  ROWS_KEPT,
  recordedDecisions,
  writeDecisions,
} from '../storage/decisions.ts';
import type { DecisionInput } from './decision-input.ts';
import {
  decisionLog,
  KEPT_IN_WINDOW,
  type LoggedDecision,
  type WeighedDecision,
  WINDOW_MS,
} from './decision-log.ts';
import type { RecordedDecision } from './dry-run.ts';

const input: DecisionInput = {
  asked: { latencyMs: 40, costNanoUsd: null, minQuality: null, slaClass: null },
  key: { id: 'key_0123456789abcdef', classes: null },
  pinnedLevel: null,
  batch: 1,
  bytes: 100,
  pressure: 0,
  levels: [],
  nodes: [],
};

function decision(id: number, atMs: number): LoggedDecision {
  const record: DecisionRecord = {
    atMs,
    requestId: `r-${id}`,
    model: 'm',
    version: 'v1',
    policyVersion: 3,
    asked: {
      latencyBudgetMs: 40,
      costBudgetNanoUsd: null,
      minQuality: 0,
      pinnedLevel: null,
      batch: 1,
      bytes: 9,
    },
    rules: rulesOf(defaultPolicy, { latencyBudgetMs: 40 }),
    spentMs: 0,
    kind: 'no-node',
    fits: false,
    chosen: null,
    runnerUp: null,
    tally: null,
    outcome: {
      status: 200,
      level: null,
      totalMs: 1,
      queueMs: null,
      executeMs: null,
      networkMs: null,
      costNanoUsd: 0,
      attempts: [],
      hedges: 0,
      selectMs: 0,
    },
  };
  return { record, keyId: 'key_0123456789abcdef', input };
}

/** A clock that only its owner moves, and the pauses that hang on it. */
function acceleratedClock() {
  let nowMs = 1_700_000_000_000;
  const due: { atMs: number; wake: () => void }[] = [];
  return {
    now: () => nowMs,
    pause: (ms: number) =>
      new Promise<void>((wake) => {
        due.push({ atMs: nowMs + ms, wake });
      }),
    forward(ms: number) {
      nowMs += ms;
      for (const pending of due.filter(({ atMs }) => atMs <= nowMs)) {
        due.splice(due.indexOf(pending), 1);
        pending.wake();
      }
    },
  };
}

function logOf(write: (batch: readonly WeighedDecision[]) => Promise<void>) {
  const clock = acceleratedClock();
  const work: Promise<unknown>[] = [];
  const background = { waitUntil: (promise: Promise<unknown>) => void work.push(promise) };
  let draw = 0;
  const random = () => (draw = (draw + 0.618_033_988_75) % 1);
  const onError = (error: unknown) => {
    throw error;
  };
  const log = decisionLog({ write, now: clock.now, random, pause: clock.pause, onError });
  return {
    clock,
    log,
    settled: () => Promise.all(work.splice(0)),
    observe: (id: number) => log.observe(() => decision(id, clock.now()), background),
  };
}

describe('the decision log', () => {
  test('keeps a bounded sample of each window, which stands for all of it', async () => {
    const written: WeighedDecision[][] = [];
    const { clock, observe, settled } = logOf(async (batch) => void written.push([...batch]));
    for (let i = 0; i < 7; i++) observe(i);
    clock.forward(WINDOW_MS);
    await settled();
    for (let i = 0; i < 1000; i++) observe(i);
    clock.forward(WINDOW_MS);
    await settled();
    expect(written.map((batch) => batch.length)).toEqual([7, KEPT_IN_WINDOW]);
    const weight = (batch: readonly WeighedDecision[] = []) =>
      batch.reduce((sum, one) => sum + one.weight, 0);
    expect(written.map(weight)).toEqual([7, 1000]);
    // Late arrivals are kept as well as early ones.
    expect(written[1]?.some(({ record }) => Number(record.requestId.slice(2)) > 500)).toBe(true);
  });

  test('writes a window whose own flush was lost', async () => {
    const written: number[] = [];
    const { clock, observe } = logOf(async (batch) => void written.push(batch.length));
    const lost = decisionLog({
      write: async (batch) => void written.push(batch.length),
      now: clock.now,
      random: () => 0,
      pause: () => new Promise(() => {}),
      onError: () => {},
    });
    const background = { waitUntil: () => {} };
    lost.observe(() => decision(1, 0), background);
    clock.forward(3 * WINDOW_MS);
    lost.observe(() => decision(2, 0), background);
    await Promise.resolve();
    expect(written).toEqual([1]);
    observe(0);
  });
});

test('a window that no request could carry the end of is ended by the next that can', async () => {
  const written: number[] = [];
  const { clock, log, observe, settled } = logOf(async (batch) => void written.push(batch.length));
  expect(log.wantsCarrier()).toBe(true);
  log.observe(() => decision(0, clock.now()));
  clock.forward(WINDOW_MS);
  await settled();
  expect([written, log.wantsCarrier()]).toEqual([[], true]);
  observe(1);
  expect(log.wantsCarrier()).toBe(false);
  clock.forward(WINDOW_MS);
  await settled();
  expect([written, log.wantsCarrier()]).toEqual([[2], true]);
});

describe('the kept decisions', () => {
  let miniflare: Miniflare;
  let db: Database;
  beforeAll(async () => {
    const script = 'export default { fetch: () => new Response() }';
    miniflare = new Miniflare({ modules: true, script, cf: false, d1Databases: { DB: 'test' } });
    const binding = await miniflare.getD1Database('DB');
    await migrate(binding);
    db = openDatabase(binding as unknown as D1Database);
  });
  afterAll(() => miniflare.dispose());

  const pagesOf = async (limit: number, pageRows?: number) => {
    const pages: RecordedDecision[][] = [];
    for await (const page of recordedDecisions(db, limit, pageRows)) pages.push(page);
    return pages;
  };
  const count = async () => (await db.all<{ n: number }>('select count(*) as n from decisions'))[0]?.n;

  test('are read back as they were written', async () => {
    await writeDecisions(db, [{ ...decision(1, 5), weight: 2.5 }], 5);
    const [row] = await decisionsOf(db, 'r-1');
    expect(row).toMatchObject({
      requestId: 'r-1',
      atMs: 5,
      weight: 2.5,
      status: 200,
      policyVersion: 3,
      slaClass: null,
    });
    expect(row?.record).toMatchObject({ outcome: { status: 200 }, input });
    expect(await pagesOf(10)).toEqual([[{ requestId: 'r-1', model: 'm', atMs: 5, weight: 2.5, input }]]);
    expect((await listDecisions(db, 1, undefined))[0]?.record).not.toHaveProperty('input');
  });

  test('come in pages, the newest first, as many as are asked for', async () => {
    const batch = Array.from({ length: 7 }, (_, i) => ({ ...decision(100 + i, 5), weight: 1 }));
    await writeDecisions(db, batch, 5);
    const pages = async (limit: number) =>
      (await pagesOf(limit, 3)).map((page) => page.map(({ requestId }) => Number(requestId.slice(2))));
    expect(await pages(5)).toEqual([
      [106, 105, 104],
      [103, 102],
    ]);
    expect(await pages(3)).toEqual([[106, 105, 104]]);
    expect((await pages(1000)).flat()).toEqual([106, 105, 104, 103, 102, 101, 100, 1]);
  });

  test('that are too large are kept without what they were made from', async () => {
    const levels = Array.from({ length: 2000 }, (_, level) => ({
      level,
      quality: 0.5,
      sparsity: 0.5,
      flops: 1,
    }));
    await writeDecisions(db, [{ ...decision(2, 6), input: { ...input, levels }, weight: 1 }], 6);
    expect((await decisionsOf(db, 'r-2'))[0]?.record).toMatchObject({ input: null });
  });

  test('stay bounded over a day of traffic, in number and in age', async () => {
    const rowsKept = 300;
    const { clock, observe, settled } = logOf((batch) => writeDecisions(db, batch, clock.now(), rowsKept));
    let [seen, most] = [0, 0];
    // A burst in every quarter of an hour: each window of it writes all that a window may.
    for (let burst = 0; burst < 96; burst++) {
      for (let i = 0; i < 1000; i++) observe(seen++);
      clock.forward(WINDOW_MS);
      await settled();
      if (burst % 16 === 0) most = Math.max(most, (await count()) ?? 0);
      clock.forward(900_000 - WINDOW_MS);
    }
    expect(seen).toBe(96_000);
    expect(most).toBeLessThanOrEqual(rowsKept);
    expect(await count()).toBe(rowsKept);
    expect(rowsKept).toBeLessThan(ROWS_KEPT);
    clock.forward(KEPT_MS);
    await writeDecisions(db, [{ ...decision(3, clock.now()), weight: 1 }], clock.now(), rowsKept);
    expect(await count()).toBe(1);
  });
});
