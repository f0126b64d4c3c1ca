/**
 * Packs a level's weights into a file, once for all threads, and ends: node pack-level.ts MODEL TARGET. A process of its own, as
 * it takes a whole level's memory, which a process gives back when it ends and glibc does not when a thread does.
 */
import { setPriority } from 'node:os';
import { InferenceSession } from 'onnxruntime-node';
import { sessionOptions } from '../execution/session-options.ts';

// Requests go first.
setPriority(10);
const [model = '', target = ''] = process.argv.slice(2);
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
process.exit(0);
