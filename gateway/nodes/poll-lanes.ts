/**
 * Polls of a fleet, a few at a time for each request: a runtime lets a request have only so many connections that wait for an answer
 * (Cloudflare six), and what it asks beyond that waits behind them. Nodes that do not answer would hold up the request itself.
 *
 *   request 1   a----   d--   e---
 *               b--   c-------
 *   request 2   f---  (the rest is under way or was asked just now)
 */
import type { Background } from '../state/cell.ts';
import { type NodeRecord, pollDue } from './node-record.ts';

export interface PollLanes {
  /**
   * Starts what polls are due and lets the others follow.
   * @param needed no usable node serves what is asked for: until one does, the request has nothing else to ask
   * @returns what comes when one of them has ended; undefined when none was started
   */
  start(background: Background, needed: boolean): Promise<unknown> | undefined;
}

/** The rest is for the request, its copy at a second node, and a node that has just been lost. */
const AT_ONCE = 3;
const AT_ONCE_NEEDED = 5;

/**
 * @param members the fleet as it is
 * @param poll never rejects, and marks the node as polled at once
 */
export function pollLanes(
  members: () => readonly NodeRecord[],
  poll: (node: NodeRecord) => Promise<void>,
  now: () => number,
): PollLanes {
  const open = new WeakMap<Background, number>();

  /** The one asked longest ago: who comes next does not begin with the same. What was asked since `startedMs` has had its turn. */
  const nextDue = (needed: boolean, startedMs: number): NodeRecord | undefined => {
    let next: NodeRecord | undefined;
    for (const node of members())
      if (node.pollStartedMs < (next?.pollStartedMs ?? startedMs) && pollDue(node, now(), needed))
        next = node;
    return next;
  };

  const follow = async (background: Background, needed: boolean, startedMs: number) => {
    for (let node = nextDue(needed, startedMs); node !== undefined; node = nextDue(needed, startedMs))
      await poll(node);
    open.set(background, (open.get(background) ?? 1) - 1);
  };

  return {
    start(background, needed) {
      const startedMs = now();
      const started: Promise<void>[] = [];
      for (;;) {
        const node = nextDue(needed, startedMs);
        if (node === undefined) break;
        const lanes = open.get(background) ?? 0;
        if (lanes >= (needed ? AT_ONCE_NEEDED : AT_ONCE)) break;
        open.set(background, lanes + 1);
        const polled = poll(node);
        started.push(polled);
        background.waitUntil(polled.then(() => follow(background, needed, startedMs)));
      }
      return started.length === 0 ? undefined : Promise.race(started);
    },
  };
}
