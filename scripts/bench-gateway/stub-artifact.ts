/** The smallest artifact that a gateway takes in: four levels of which only the table of contents says anything. */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Manifest, manifestSchema } from '../../schema/manifest.ts';

const LEVELS = [0, 1, 2, 3];

export async function writeStubArtifact(dir: string): Promise<void> {
  const contents = Object.fromEntries(
    ['graph.onnx', ...LEVELS.map((level) => `weights-${level}.bin`)].map((path) => [path, Buffer.from(path)]),
  );
  const quality = { low: 0, high: 1, metric: 'accuracy', samples: 1 };
  const manifest: Manifest = manifestSchema.parse({
    formatVersion: 1,
    model: { id: 'bench', version: 'v1', sourceSha256: sha256(Buffer.from('')) },
    createdAt: new Date(0).toISOString(),
    task: 'classification',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 784] }],
    outputs: [{ name: 'logits', datatype: 'FP32', shape: [-1, 10] }],
    preprocessing: {},
    graph: 'graph.onnx',
    pairs: [{ name: 'p', kind: 'sequential', heads: 1, units: 4, flopsPerUnit: 1, paramsPerUnit: 1 }],
    tensors: [],
    shapeConstants: [],
    levels: LEVELS.map((level) => ({
      level,
      widths: [level + 1],
      params: level + 1,
      flops: level + 1,
      relativeFlops: (level + 1) / LEVELS.length,
      relativeParams: (level + 1) / LEVELS.length,
      sparsity: 1 - (level + 1) / LEVELS.length,
      bytes: 1,
      quality: { ...quality, value: 0.8 + level / 20 },
      latency: [],
      chunk: `weights-${level}.bin`,
      extents: [],
    })),
    files: Object.entries(contents).map(([path, bytes]) => ({
      path,
      bytes: bytes.length,
      sha256: sha256(bytes),
    })),
    search: {},
    seed: 0,
    dataSha256: sha256(Buffer.from('')),
  });
  for (const [path, bytes] of Object.entries(contents)) await writeFile(join(dir, path), bytes);
  await writeFile(join(dir, 'manifest.json'), JSON.stringify(manifest));
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
