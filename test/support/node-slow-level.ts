/** Session threads on which one level takes longer, so that a test can leave it too little time. */
import type { FromThread } from '../../infra/node/execution/messages.ts';
import { type SpawnThread, spawnSessionThread, type Thread } from '../../infra/node/execution/worker-pool.ts';

/** @param extraMs what each run of `level` takes beyond its computation, and says that it took */
export function slowLevel(level: number, extraMs: number): SpawnThread {
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
      terminate: () => thread.terminate(),
      postMessage: ((message) => {
        if (message.kind === 'run') slow = message.level === level;
        if (message.kind === 'run' && slow) setTimeout(() => thread.postMessage(message), extraMs);
        else thread.postMessage(message);
      }) satisfies Thread['postMessage'],
    };
    return slowed as Thread;
  };
}
