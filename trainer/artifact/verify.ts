/** Checks a whole artifact, the way a node would meet it. */
import { assembleLevel, filesOfLevel } from '../../schema/artifact/level-model.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { SppError } from '../../schema/errors.ts';
import type { Port } from '../../schema/manifest.ts';
import type { Progress } from '../build/progress.ts';
import { elementCount, type Tensor } from '../graph/graph.ts';
import { createOrtSession, type OrtSession } from '../runtime/ort-session.ts';

export interface Verification {
  readonly model: string;
  readonly version: string;
  readonly files: number;
  readonly levels: number;
}

/** @throws `bad-artifact` naming the file or level at fault */
export async function verifyArtifact(directory: string, progress: Progress): Promise<Verification> {
  const artifact = await openArtifact(directory);
  const { manifest } = artifact;
  const checking = progress.stage('files', manifest.files.length);
  const files = new Map<string, Uint8Array>();
  for (const { path } of manifest.files) {
    files.set(path, await artifact.read(path));
    checking.update(files.size);
  }
  checking.finish();
  const running = progress.stage('levels', manifest.levels.length);
  const graph = files.get(manifest.graph) ?? new Uint8Array(0);
  for (const { level } of manifest.levels) {
    const needed = new Map(
      filesOfLevel(manifest, level).map((path) => [path, files.get(path) ?? new Uint8Array(0)]),
    );
    const session = await createOrtSession(assembleLevel(manifest, graph, level, needed), { threads: 1 });
    try {
      const outputs = await answered(session, manifest.inputs, level);
      for (const [name, tensor] of Object.entries(outputs)) {
        if (tensor.data instanceof Float32Array && !tensor.data.every(Number.isFinite)) {
          throw new SppError(
            'bad-artifact',
            `Level ${level} answers with numbers that are not finite in ${name}.`,
          );
        }
      }
    } finally {
      await session.close();
    }
    running.update(level + 1);
  }
  running.finish();
  return {
    model: manifest.model.id,
    version: manifest.model.version,
    files: files.size,
    levels: manifest.levels.length,
  };
}

/** What requests may choose: tokens, sides of an image that fill a patch, samples of sound that a convolution reads at once. */
const SIZES = [1, 2, 8, 32, 64, 128, 224, 512, 4096, 16_384];

/** What a level gives for one example of the smallest size that it takes. @throws `bad-artifact` where it takes none */
async function answered(
  session: OrtSession,
  inputs: readonly Port[],
  level: number,
): Promise<Record<string, Tensor>> {
  const isFree = inputs.some(({ shape }) => shape.slice(1).includes(-1));
  let fault: unknown;
  for (const size of isFree ? SIZES : SIZES.slice(0, 1))
    try {
      return await session.run(Object.fromEntries(inputs.map((port) => [port.name, zeros(port, size)])));
    } catch (error) {
      if (error instanceof SppError && error.code === 'bad-artifact') throw error;
      fault ??= error;
    }
  const reason = fault instanceof Error ? fault.message : String(fault);
  throw new SppError('bad-artifact', `Level ${level} does not run: ${reason.slice(0, 500)}`, {
    cause: fault,
  });
}

/** One example. @param size of what the request chooses besides */
function zeros(port: Port, size: number): Tensor {
  const dims = port.shape.map((dim, axis) => (dim !== -1 ? dim : axis === 0 ? 1 : size));
  const count = elementCount(dims);
  switch (port.datatype) {
    case 'FP32':
      return { dtype: 'float32', dims, data: new Float32Array(count) };
    case 'FP64':
      return { dtype: 'float64', dims, data: new Float64Array(count) };
    case 'UINT8':
      return { dtype: 'uint8', dims, data: new Uint8Array(count) };
    case 'INT64':
      return { dtype: 'int64', dims, data: new BigInt64Array(count) };
    case 'INT32':
      return { dtype: 'int32', dims, data: new Int32Array(count) };
    case 'BOOL':
      return { dtype: 'bool', dims, data: new Uint8Array(count) };
    default:
      throw new SppError(
        'bad-artifact',
        `The input ${port.name} has datatype ${port.datatype}, which no level can take.`,
      );
  }
}
