/** How a worker thread's onnxruntime sessions are made. */
import type { InferenceSession } from 'onnxruntime-node';
import { FLUSH_SUBNORMALS } from '../../../schema/flush-subnormals.ts';

export interface Weights {
  /**
   * Whether kernels put weights in the order in which they read them; true unless told. False lets the session compute on the
   * weights as they lie in the file that it maps, whose pages all levels and threads share.
   */
  readonly packed?: boolean;
  /** Whether a run's scratch memory is kept for the next one; true unless told. Where it is not, many sessions cost little more than one. */
  readonly keepsScratch?: boolean;
  /** Whether convolutions' weights are copied in blocks of channels; true unless told. */
  readonly blocksConvolutions?: boolean;
}

/** @param ep onnxruntime execution provider */
export function sessionOptions(
  ep: string,
  { packed = true, keepsScratch = true, blocksConvolutions = true }: Weights = {},
): InferenceSession.SessionOptions {
  return {
    executionProviders: [ep],
    // One core a thread; threads that spin while idle would steal it from their neighbours.
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // Failures come back as errors; onnxruntime would print them a second time.
    logSeverityLevel: 4,
    ...(keepsScratch ? {} : { enableCpuMemArena: false, enableMemPattern: false }),
    // All that is left out is the layout of convolutions.
    ...(blocksConvolutions ? {} : { graphOptimizationLevel: 'extended' }),
    extra: {
      session: {
        intra_op: { allow_spinning: '0' },
        ...FLUSH_SUBNORMALS,
        ...(packed ? {} : { disable_prepacking: '1' }),
      },
    },
  };
}
