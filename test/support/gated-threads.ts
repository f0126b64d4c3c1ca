/** Real session threads behind a gate, so that a test can hold requests inside a node and let threads die under them. */

import type { Worker } from 'node:worker_threads';
import {
  type SpawnThread,
  spawnSessionThread,
  type Thread,
} from '../../infra/node/execution/asked-thread.ts';
import type { ToThread } from '../../infra/node/execution/messages.ts';

export interface GatedThreads {
  readonly spawn: SpawnThread;
  readonly spawned: number;
  /** From now on runs stop at the gate. */
  hold(): void;
  /** Opens the gate and lets through what stands there. */
  release(): void;
  /** Resolves when `count` threads have runs that stand at the gate. */
  held(count: number): Promise<void>;
  /** Ends the threads whose run stands at the gate. */
  killHeld(): Promise<void>;
}

export function gatedThreads(): GatedThreads {
  const standing = new Map<Worker, ToThread[]>();
  const waiters: { count: number; wake: () => void }[] = [];
  let closed = false;
  let spawned = 0;
  const wake = () => {
    for (const waiter of waiters) if (standing.size >= waiter.count) waiter.wake();
  };
  return {
    spawn(data) {
      spawned++;
      const thread = spawnSessionThread(data);
      const gated: Thread = {
        on: thread.on.bind(thread) as Thread['on'],
        postMessage(message) {
          if (!closed || message.kind !== 'run') return thread.postMessage(message);
          standing.set(thread, [...(standing.get(thread) ?? []), message]);
          wake();
        },
      };
      return gated;
    },
    get spawned() {
      return spawned;
    },
    hold() {
      closed = true;
    },
    release() {
      closed = false;
      for (const [thread, messages] of standing) for (const message of messages) thread.postMessage(message);
      standing.clear();
    },
    held: (count) =>
      new Promise((resolve) => {
        waiters.push({ count, wake: resolve });
        wake();
      }),
    async killHeld() {
      const threads = [...standing.keys()];
      standing.clear();
      await Promise.all(threads.map((thread) => thread.terminate()));
    },
  };
}
