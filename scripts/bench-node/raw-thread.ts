/** A bare onnxruntime loop: what one worker thread could do if nothing stood between it and its inputs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { sessionOptions } from '../../infra/node/execution/session-options.ts';
import type { RawTensor } from '../../infra/node/tensors.ts';

export interface RawThreadData {
  /** Its bytes, or the path of its file. */
  readonly model: Uint8Array | string;
  readonly outputs: readonly string[];
}

/** Runs `feeds` over and over for `ms`. */
export interface RawRound {
  readonly feeds: readonly RawTensor[];
  readonly ms: number;
  /** Between runs; none unless told. What runs after a pause finds a colder core. */
  readonly pauseMs?: number;
}

/** Times of single runs, and of all. */
export interface RawAnswer {
  readonly runsMs: readonly number[];
  readonly tookMs: number;
}

const { model, outputs } = workerData as RawThreadData;
const session =
  typeof model === 'string'
    ? await InferenceSession.create(model, sessionOptions('cpu'))
    : await InferenceSession.create(Uint8Array.from(model), sessionOptions('cpu'));

parentPort?.on('message', async ({ feeds, ms, pauseMs = 0 }: RawRound) => {
  const runsMs: number[] = [];
  const startMs = performance.now();
  const endMs = startMs + ms;
  for (let begunMs = performance.now(); begunMs < endMs; begunMs = performance.now()) {
    const tensors = feeds.map(({ name, type, data, dims }) => [
      name,
      new Tensor(type as Tensor.Type, data, dims),
    ]);
    await session.run(Object.fromEntries(tensors), [...outputs]);
    runsMs.push(performance.now() - begunMs);
    if (pauseMs > 0) await sleep(pauseMs);
  }
  parentPort?.postMessage({ runsMs, tookMs: performance.now() - startMs } satisfies RawAnswer);
});
parentPort?.postMessage('ready');
