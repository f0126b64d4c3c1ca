/** Packs a level's weights into a file, once for all threads, and ends. Packing blocks, which is why it has a thread of its own. */
import { workerData } from 'node:worker_threads';
import { InferenceSession } from 'onnxruntime-node';
import { sessionOptions } from '../execution/session-options.ts';
import type { PackingJob } from './packed-file.ts';

const { model, target } = workerData as PackingJob;
const { extra, ...options } = sessionOptions('cpu');
const session = await InferenceSession.create(model, {
  ...options,
  enableCpuMemArena: false,
  optimizedModelFilePath: target,
  extra: {
    session: {
      ...(extra?.session as Record<string, unknown>),
      // onnxruntime writes what its kernels made of the weights beside the weights, and maps it when it loads the file.
      save_external_prepacked_constant_initializers: '1',
      optimized_model_external_initializers_file_name: 'packed.bin',
      optimized_model_external_initializers_min_size_in_bytes: '4096',
    },
  },
});
await session.release();
