/** Worker thread of the onnxruntime engine: one session a loss, made when a step first asks for it; ends when it is told to. */
import { parentPort } from 'node:worker_threads';
import {
  createOnnxruntimeProgram,
  type GradientModel,
  type OnnxruntimeProgram,
} from './onnxruntime-program.ts';
import type { Shard } from './shard.ts';
import { type MaskAnswer, threadError } from './thread-answer.ts';

export type OnnxruntimeWork =
  | {
      /** Which of the gradient models; `model` comes along the first time. */
      readonly key: string;
      readonly model?: GradientModel;
      readonly shards: readonly Shard[];
      readonly masks: readonly Float32Array[];
    }
  | 'end';

if (parentPort) {
  const port = parentPort;
  const answer = (message: MaskAnswer) => port.postMessage(message);
  const programs = new Map<string, OnnxruntimeProgram>();
  port.on('message', async (work: OnnxruntimeWork) => {
    if (work === 'end') {
      for (const program of programs.values()) await program.close();
      port.close();
      return;
    }
    try {
      if (work.model && !programs.has(work.key))
        programs.set(work.key, await createOnnxruntimeProgram(work.model));
      const program = programs.get(work.key) as OnnxruntimeProgram;
      const sums = [];
      for (const shard of work.shards) sums.push(await program.run(shard, work.masks));
      answer({ kind: 'sums', sums });
    } catch (error) {
      answer({ kind: 'failed', error: threadError(error) });
    }
  });
  answer({ kind: 'ready' });
}
