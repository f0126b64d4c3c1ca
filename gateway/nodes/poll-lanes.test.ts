import { expect, test } from 'vitest';
import type { Background } from '../state/cell.ts';
import { type NodeRecord, nodeRecord } from './node-record.ts';
import { pollLanes } from './poll-lanes.ts';

/** A fleet of so many nodes that were never heard of, whose polls end by hand. */
function scene(count: number) {
  const state = { nowMs: 1000 };
  const nodes = Array.from({ length: count }, (_, i) =>
    nodeRecord({ name: `n${i}`, url: `http://n${i}`, nodeClass: 'default', draining: false }),
  );
  const underWay = new Map<NodeRecord, () => void>();
  const asked: string[] = [];
  const lanes = pollLanes(
    () => nodes,
    (node) =>
      new Promise((done) => {
        asked.push(node.address.name);
        node.polling = true;
        node.pollStartedMs = state.nowMs;
        underWay.set(node, () => {
          underWay.delete(node);
          node.polling = false;
          node.down = { reason: 'cannot be reached', sinceMs: state.nowMs };
          done();
        });
      }),
    () => state.nowMs,
  );
  const request = () => {
    const work: Promise<unknown>[] = [];
    const background: Background = { waitUntil: (promise) => void work.push(promise) };
    return { start: (needed = false) => lanes.start(background, needed), done: () => Promise.all(work) };
  };
  /** Ends the poll that was begun first. */
  const end = async () => {
    state.nowMs += 1;
    [...underWay.values()][0]?.();
    await new Promise(setImmediate);
  };
  return { state, nodes, underWay, asked, request, end };
}

test('a request has few polls under way at once, and all nodes their turn', async () => {
  const { asked, underWay, request, end } = scene(20);
  const one = request();
  void one.start();
  for (let i = 0; i < 20; i++) {
    expect(underWay.size).toBeLessThanOrEqual(3);
    expect(underWay.size).toBe(Math.min(3, 20 - i));
    // Asking again opens no more of them.
    void one.start();
    await end();
  }
  await one.done();
  expect(new Set(asked).size).toBe(20);
  expect(asked).toHaveLength(20);
});

test('where the request cannot go on without one it has more, and still room for its own', async () => {
  const { underWay, request } = scene(20);
  void request().start(true);
  expect(underWay.size).toBe(5);
});

test('nodes that do not answer keep nobody from being asked: another request asks others', () => {
  const { asked, state, request } = scene(8);
  void request().start(true);
  state.nowMs += 300;
  void request().start(true);
  expect(new Set(asked).size).toBe(8);
});

test('a node that is due again meanwhile waits for another request: polls of one request end', async () => {
  const { asked, state, request, end } = scene(2);
  const one = request();
  void one.start();
  for (let i = 0; i < 2; i++) {
    state.nowMs += 2000;
    await end();
  }
  await one.done();
  expect(asked).toHaveLength(2);
  void one.start();
  expect(asked).toHaveLength(4);
});

test('where none is due there is nothing to wait for', () => {
  const { request } = scene(1);
  expect(request().start()).toBeInstanceOf(Promise);
  expect(request().start()).toBeUndefined();
});
