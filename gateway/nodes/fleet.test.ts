import { describe, expect, test, vi } from 'vitest';
import type { NodeReport } from '../../schema/node-report.ts';
import { addresses, bench, lost, predicted, reasons, report, spec } from './fleet.fixture.ts';
import type { NodeAddress } from './node-address.ts';
import { LateReport } from './report-client.ts';

describe('the fleet', () => {
  test('waits for a first report, and measures the way there without the first connection', async () => {
    const { all, asked, refresh } = bench();
    expect(reasons(all)).toEqual(['has not reported yet']);
    await refresh();
    expect(reasons(all)).toEqual([undefined]);
    expect(asked).toEqual(['a', 'a']);
    // The node says that executions take 3 ms at p95; nothing waits there.
    expect(predicted(all)).toEqual({ networkMs: 1, waitMs: 0, executeMs: 3 });
  });

  test('counts a request whose client left no longer than it could be under way', async () => {
    const { all, state, refresh, settle, background } = bench();
    await refresh();
    const [kept, lostOne] = [60_000, 100].map((ms) =>
      all.begin('a', background, { executeMs: 50, endMs: state.nowMs + ms }),
    );
    expect(all.pressure()).toBe(1);
    state.nowMs += 6000;
    await refresh();
    await settle();
    expect(all.pressure()).toBe(0.5);
    // Told of after all, it counts no second time.
    lostOne?.({ kind: 'unknown' });
    expect(all.pressure()).toBe(0.5);
    kept?.({ kind: 'unknown' });
    expect(all.pressure()).toBe(0);
  });

  test('asks again in the background once a report is a second old', async () => {
    const { all, asked, state, answers, refresh, settle } = bench();
    await refresh();
    state.nowMs += 990;
    await refresh();
    expect(asked).toHaveLength(2);
    state.nowMs += 10;
    let answer = (_: NodeReport) => {};
    answers.a = () =>
      new Promise<NodeReport>((resolve) => {
        answer = resolve;
      });
    await refresh();
    await refresh();
    expect(asked).toHaveLength(3);
    expect(reasons(all)).toEqual([undefined]);
    answer(report('a', { state: 'draining' }));
    await settle();
    expect(reasons(all)).toEqual(['is draining']);
  });

  test('a node that cannot be reached is out until it has been asked, which is at once', async () => {
    const { all, asked, refresh, settle, send } = bench();
    await refresh();
    send('a', lost);
    expect(reasons(all)).toEqual(['lost the connection']);
    await settle();
    expect(reasons(all)).toEqual([undefined]);
    expect(asked).toHaveLength(4);
  });

  test('a node that cannot be asked is down, and costs no one a wait until the next try', async () => {
    const { all, asked, state, answers, refresh, settle } = bench();
    answers.a = () => Promise.reject(new Error('cannot be reached'));
    await refresh();
    expect(reasons(all)).toEqual(['cannot be reached']);
    await refresh();
    expect(asked).toHaveLength(1);
    state.nowMs += 500;
    await refresh();
    await settle();
    expect(asked).toHaveLength(2);
    expect(all.view()[0]).toMatchObject({ usable: false, reason: 'cannot be reached' });
  });

  test('a failure seen while a report is under way outlives that report', async () => {
    const { all, state, answers, refresh, settle, send } = bench();
    await refresh();
    state.nowMs += 1000;
    let answer = (_: NodeReport) => {};
    answers.a = () =>
      new Promise<NodeReport>((resolve) => {
        answer = resolve;
      });
    await refresh();
    state.nowMs += 5;
    send('a', lost);
    answer(report('a'));
    await settle();
    expect(reasons(all)).toEqual(['lost the connection']);
  });

  test('waits for the first node that answers, not for all', async () => {
    const { all, answers, refresh } = bench(addresses);
    answers.b = () => new Promise(() => {});
    await refresh();
    expect(reasons(all)).toEqual([undefined, 'has not reported yet']);
  });

  test('waits for a node of the model that is wanted, where only others were heard of lately', async () => {
    const { all, state, answers, refresh, settle, background } = bench(addresses);
    const other = report('b');
    const elsewhere = { ...other, models: other.models.map((served) => ({ ...served, model: 'other' })) };
    answers.b = () => elsewhere;
    await refresh();
    await settle();
    state.nowMs += 10_000;
    all.heard('b', elsewhere, state.nowMs);
    await all.refresh(background);
    expect(reasons(all)).toEqual(['has not reported for a while', 'does not serve m']);
    await settle();
    state.nowMs += 10_000;
    all.heard('b', elsewhere, state.nowMs);
    await all.refresh(background, 'm');
    expect(reasons(all)).toEqual([undefined, 'does not serve m']);
    // Nobody serves it, and everybody was heard of: there is nothing to wait for.
    await settle();
    await all.refresh(background, 'unknown');
  });

  test('a burst on a fleet that was never heard of asks each node once, and waits for what comes late', async () => {
    const { all, asked, answers, settle, background } = bench();
    let answer = (_: NodeReport) => {};
    answers.a = () =>
      new Promise<NodeReport>((resolve) => {
        answer = resolve;
      });
    const burst = Array.from({ length: 20 }, () => all.refresh(background));
    await new Promise((done) => setTimeout(done, 20));
    expect(asked).toHaveLength(1);
    answers.a = () => report('a');
    answer(report('a'));
    await Promise.all(burst);
    expect(reasons(all)).toEqual([undefined]);
    await settle();
  });

  test('while no other node is usable, one that stays silent is asked again now and then', async () => {
    const { asked, state, answers, all, background } = bench();
    let pending = 0;
    answers.a = () => {
      pending++;
      return pending < 3 ? new Promise<NodeReport>(() => {}) : report('a');
    };
    const waiting = all.refresh(background);
    for (let i = 0; i < 2; i++) {
      await vi.waitFor(() => expect(asked).toHaveLength(i + 1));
      state.nowMs += 250;
    }
    await waiting;
    expect(reasons(all)).toEqual([undefined]);
  });

  test('a node whose report is late is used by what it said last, until that is too old', async () => {
    const { all, state, answers, refresh, settle } = bench();
    answers.a = () => Promise.reject(new LateReport({}));
    await refresh();
    // Nothing is known of it: it cannot be used.
    expect(reasons(all)).toEqual(['does not answer within 5000 ms']);
    answers.a = () => report('a');
    state.nowMs += 500;
    await refresh();
    expect(reasons(all)).toEqual([undefined]);
    answers.a = () => Promise.reject(new LateReport({}));
    state.nowMs += 6000;
    await refresh();
    await settle();
    expect(reasons(all)).toEqual([undefined]);
    state.nowMs += 4000;
    expect(reasons(all)).toEqual(['has not reported for a while']);
  });

  test('an old report is not believed without asking', async () => {
    const { all, asked, state, refresh } = bench();
    await refresh();
    state.nowMs += 10_000;
    expect(reasons(all)).toEqual(['has not reported for a while']);
    await refresh();
    expect(reasons(all)).toEqual([undefined]);
    expect(asked).toHaveLength(3);
  });

  test('load is what others had there at the report plus what is ours now', async () => {
    const { all, state, answers, refresh, settle, background } = bench();
    await refresh();
    const sent = { executeMs: 2 };
    const done = [all.begin('a', background, sent), all.begin('a', background, sent)];
    answers.a = () => report('a', { queueLength: 3, inFlight: 2 });
    state.nowMs += 1000;
    await refresh();
    await settle();
    // Ours are overdue, a tenth of their 2 ms is left; the three of others take 2 ms each at p50, two at a time.
    expect(predicted(all).waitMs).toBeCloseTo(0.2 + 3, 9);
    expect(all.pressure()).toBe(2.5);
    for (const over of [...done, ...done]) over({ kind: 'unknown' });
    expect(predicted(all).waitMs).toBe(2);
  });

  test('a node of another version or model is named as such', async () => {
    const { all, refresh } = bench();
    await refresh();
    expect(all.serves('m', 'v1')).toBe(true);
    expect(all.serves('m', 'v2')).toBe(false);
    expect(reasons(all, spec('v2'))).toEqual(['serves version v1']);
    expect(reasons(all, spec('v1', 'other'))).toEqual(['does not serve other']);
  });

  test('a node has the levels that it tells of, and without any it serves nothing', async () => {
    const { all, refresh } = bench();
    await refresh();
    expect([all.serves('m', 'v1'), all.serves('m', 'v1', 0), all.serves('m', 'v1', 1)]).toEqual([
      true,
      true,
      false,
    ]);
    const models = report('a').models.map((model) => ({ ...model, levels: [] }));
    all.heard('a', report('a', { models }), Number.MAX_SAFE_INTEGER);
    expect([all.serves('m', 'v1'), all.serves('m', 'v1', 0)]).toEqual([false, false]);
  });

  test('nodes come and go, and those that stay keep what was learned of them', async () => {
    const { all, refresh, settle } = bench();
    await refresh();
    all.setNodes([...addresses].map((address) => ({ ...address, draining: address.name === 'a' })));
    expect(reasons(all)).toEqual(['is taken out of service', 'has not reported yet']);
    all.setNodes([{ ...(addresses[0] as NodeAddress), url: 'http://elsewhere' }]);
    expect(reasons(all)).toEqual(['has not reported yet']);
    await refresh();
    await settle();
    expect(reasons(all)).toEqual([undefined]);
  });
});
