/** How a worker thread's onnxruntime sessions are made. */
import type { InferenceSession } from 'onnxruntime-node';

/**
 * @param ep onnxruntime execution provider
 * @param packed false lets the session compute on the weights as they lie in the file that it maps, whose pages all levels
 *   and threads share, and give its scratch memory back after each run: many such sessions cost little more than one
 */
export function sessionOptions(ep: string, packed = true): InferenceSession.SessionOptions {
  return {
    executionProviders: [ep],
    // One core a thread; threads that spin while idle would steal it from their neighbours.
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // Failures come back as errors; onnxruntime would print them a second time.
    logSeverityLevel: 4,
    ...(packed ? {} : { enableCpuMemArena: false, enableMemPattern: false }),
    extra: {
      session: {
        intra_op: { allow_spinning: '0' },
        ...(packed ? {} : { disable_prepacking: '1' }),
      },
    },
  };
}
