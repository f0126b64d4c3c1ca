/** Session threads on which one level takes longer, so that a test can leave it too little time. */
import { type SpawnThread, spawnSessionThread, type Thread } from '../../infra/node/execution/worker-pool.ts';

/** @param extraMs what each run of `level` takes beyond its computation */
export function slowLevel(level: number, extraMs: number): SpawnThread {
  return (data) => {
    const thread = spawnSessionThread(data);
    const slowed: Thread = {
      on: thread.on.bind(thread) as Thread['on'],
      terminate: () => thread.terminate(),
      postMessage(message) {
        if (message.kind === 'run' && message.level === level)
          setTimeout(() => thread.postMessage(message), extraMs);
        else thread.postMessage(message);
      },
    };
    return slowed;
  };
}
