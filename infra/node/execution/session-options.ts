/** How a worker thread's onnxruntime sessions are made. */
import type { InferenceSession } from 'onnxruntime-node';
import { FLUSH_SUBNORMALS } from '../../../schema/flush-subnormals.ts';

/**
 * @param ep onnxruntime execution provider
 * @param packed false lets the session compute on the weights as they lie in the file that it maps, whose pages all levels
 *   and threads share, and give its scratch memory back after each run: many such sessions cost little more than one
 * @param blocksConvolutions false leaves convolutions' weights as they lie, too, in a session that is not packed
 */
export function sessionOptions(
  ep: string,
  packed = true,
  blocksConvolutions = true,
): InferenceSession.SessionOptions {
  return {
    executionProviders: [ep],
    // One core a thread; threads that spin while idle would steal it from their neighbours.
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // Failures come back as errors; onnxruntime would print them a second time.
    logSeverityLevel: 4,
    ...(packed ? {} : { enableCpuMemArena: false, enableMemPattern: false }),
    // All that is left out is the layout of convolutions.
    ...(packed || blocksConvolutions ? {} : { graphOptimizationLevel: 'extended' }),
    extra: {
      session: {
        intra_op: { allow_spinning: '0' },
        ...FLUSH_SUBNORMALS,
        ...(packed ? {} : { disable_prepacking: '1' }),
      },
    },
  };
}
