/** Worker thread of the onnxruntime engine: one session a loss, made when a step first asks for it; ends when it is told to. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Provider } from '../runtime/ort-session.ts';
import type { LaneWork } from './lane.ts';
import {
  createOnnxruntimeProgram,
  type GradientModel,
  type OnnxruntimeProgram,
  type WeightMemory,
} from './onnxruntime-program.ts';
import { type LaneAnswer, threadError } from './thread-answer.ts';

export interface OnnxruntimeWorkerData {
  readonly provider: Provider;
  /** Of a session. */
  readonly threads: number;
  /** In shared memory. */
  readonly weights: WeightMemory;
}

export type OnnxruntimeWork =
  | (LaneWork & {
      /** Which of the gradient models; `model` comes along the first time, and when it is to be another one. */
      readonly key: string;
      readonly model?: GradientModel;
    })
  | 'end';

if (parentPort) {
  const port = parentPort;
  const { provider, threads, weights } = workerData as OnnxruntimeWorkerData;
  const answer = (message: LaneAnswer) => port.postMessage(message);
  const programs = new Map<string, OnnxruntimeProgram>();
  port.on('message', async (work: OnnxruntimeWork) => {
    if (work === 'end') {
      for (const program of programs.values()) await program.close();
      port.close();
      return;
    }
    try {
      if (work.model) {
        await programs.get(work.key)?.close();
        programs.delete(work.key);
        programs.set(work.key, await createOnnxruntimeProgram(work.model, provider, threads));
        // This thread's own copy, as large as the weights: no collection comes for it before the first step.
        (work.model.bytes.buffer as ArrayBuffer).transfer(0);
      }
      const program = programs.get(work.key) as OnnxruntimeProgram;
      answer({ kind: 'sums', sums: await program.run(work, weights) });
    } catch (error) {
      answer({ kind: 'failed', error: threadError(error) });
    }
  });
  answer({ kind: 'ready' });
}
