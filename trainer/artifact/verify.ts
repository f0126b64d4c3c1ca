/** Checks a whole artifact, the way a node would meet it. */
import { assembleLevel, filesOfLevel } from '../../schema/artifact/level-model.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { SppError } from '../../schema/errors.ts';
import type { Port } from '../../schema/manifest.ts';
import type { Progress } from '../build/progress.ts';
import { elementCount, type Tensor } from '../graph/graph.ts';
import { createOrtSession } from '../runtime/ort-session.ts';

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
      const outputs = await session.run(
        Object.fromEntries(manifest.inputs.map((port) => [port.name, zeros(port)])),
      );
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

function zeros(port: Port): Tensor {
  const dims = port.shape.map((dim) => (dim === -1 ? 1 : dim));
  const count = elementCount(dims);
  switch (port.datatype) {
    case 'FP32':
      return { dtype: 'float32', dims, data: new Float32Array(count) };
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
