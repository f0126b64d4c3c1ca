/** How a worker thread's onnxruntime sessions are made. */
import type { InferenceSession } from 'onnxruntime-node';

/** @param ep onnxruntime execution provider */
export function sessionOptions(ep: string): InferenceSession.SessionOptions {
  return {
    executionProviders: [ep],
    // One core a thread; threads that spin while idle would steal it from their neighbours.
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // Failures come back as errors; onnxruntime would print them a second time.
    logSeverityLevel: 4,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  };
}
