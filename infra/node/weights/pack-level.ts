/**
 * Packs a level's weights into a file, once for all threads, where TARGET is not there, makes models of other levels that lie beside it
 * (`beside-packed.ts`), and ends: node pack-level.ts MODEL TARGET OTHERS, OTHERS being JSON [{model, target}], targets in TARGET's
 * directory. A process of its own, as it takes a whole level's memory, which a process gives back when it ends and glibc does not when a thread does.
 */
import { closeSync, existsSync, linkSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { dirname, join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { InferenceSession } from 'onnxruntime-node';
import { sessionOptions } from '../execution/session-options.ts';
import { packedShelf } from './beside-packed.ts';
import { externalData } from './external-data.ts';

const PACKED_WEIGHTS = 'packed.bin';

// Requests go first.
setPriority(10);
const [model = '', target = '', others = '[]'] = process.argv.slice(2);
if (!existsSync(target)) await pack();
layBeside(JSON.parse(others) as { model: string; target: string }[]);
process.exit(0);

async function pack(): Promise<void> {
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
        optimized_model_external_initializers_file_name: PACKED_WEIGHTS,
        optimized_model_external_initializers_min_size_in_bytes: '4096',
      },
    },
  });
  await session.release();
}

function layBeside(levels: readonly { readonly model: string; readonly target: string }[]): void {
  const lying = readModel(model);
  const weights = lying.graph?.initializer.map(externalData).find(({ location }) => location !== undefined);
  const [from, to] = [dirname(model), dirname(target)];
  // Models take no files from elsewhere than their own directory.
  if (weights?.location !== undefined && !existsSync(join(to, weights.location)))
    linkSync(join(from, weights.location), join(to, weights.location));
  const shelf = packedShelf({
    lying,
    packed: readModel(target),
    read: (of, offset, bytes) =>
      readPart(
        of === 'packed' ? join(to, PACKED_WEIGHTS) : join(from, weights?.location ?? ''),
        offset,
        bytes,
      ),
  });
  for (const level of levels)
    writeFileSync(level.target, toBinary(ModelProtoSchema, shelf(readModel(level.model))));
}

function readPart(path: string, offset: number, bytes: number): Uint8Array {
  const buffer = new Uint8Array(bytes);
  const handle = openSync(path, 'r');
  readSync(handle, buffer, 0, bytes, offset);
  closeSync(handle);
  return buffer;
}

function readModel(path: string) {
  return fromBinary(ModelProtoSchema, readFileSync(path));
}
