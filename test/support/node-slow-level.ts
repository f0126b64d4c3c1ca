/** Session threads on which one level takes longer, so that a test can leave it too little time. */

import {
  type SpawnThread,
  spawnSessionThread,
  type Thread,
} from '../../infra/node/execution/asked-thread.ts';
import type { FromThread } from '../../infra/node/execution/messages.ts';

/**
 * @param extraMs what each run of `level` says that it took beyond its computation
 * @param waitMs what it really takes beyond that; as much by default
 */
export function slowLevel(level: number, extraMs: number, waitMs = extraMs): SpawnThread {
  return (data) => {
    const thread = spawnSessionThread(data);
    /** A thread does one thing at a time, so the next answer to a run is that of the last. */
    let slow = false;
    const told = (message: FromThread): FromThread =>
      message.kind === 'done' && slow ? { ...message, runMs: message.runMs + extraMs } : message;
    const slowed = {
      on: (event: string, listener: (value: never) => void) =>
        event === 'message'
          ? thread.on('message', (message) => listener(told(message) as never))
          : thread.on(event as 'error', listener as (error: unknown) => void),
      postMessage: ((message) => {
        if (message.kind === 'run') slow = message.level === level;
        if (message.kind === 'run' && slow && waitMs > 0)
          setTimeout(() => thread.postMessage(message), waitMs);
        else thread.postMessage(message);
      }) satisfies Thread['postMessage'],
    };
    return slowed as Thread;
  };
}
