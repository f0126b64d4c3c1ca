/** What a model is, in one digest: its file and the data files beside it that it names. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TensorProto_DataLocation } from 'onnx-buf';
import { SppError } from '../../schema/errors.ts';
import { readModelFile } from './onnx-load.ts';

/**
 * SHA-256 in hexadecimal: of a model in one file, the file's own; of one with data beside it, of all their digests.
 * @throws `bad-model` when one of them cannot be read
 */
export async function modelDigest(path: string): Promise<string> {
  const tensors = readModelFile(path).graph?.initializer ?? [];
  const external = tensors.filter(({ dataLocation }) => dataLocation === TensorProto_DataLocation.EXTERNAL);
  const locations = external.flatMap(({ externalData }) =>
    externalData.flatMap(({ key, value }) => (key === 'location' ? [value] : [])),
  );
  const own = await fileDigest(path);
  if (locations.length === 0) return own;
  const digests = [`model ${own}`];
  for (const location of [...new Set(locations)].sort())
    digests.push(`${location} ${await fileDigest(join(dirname(path), location))}`);
  return createHash('sha256').update(digests.join('\n')).digest('hex');
}

async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), hash).catch((cause: Error) => {
    throw new SppError('bad-model', `The model's file ${path} cannot be read: ${cause.message}.`, {
      hint: 'Keep the data files in the same folder as the model.',
      cause,
    });
  });
  return hash.digest('hex');
}
