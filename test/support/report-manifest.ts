/** Manifests of small made-up paths, for what reports say of them. */
import type { Manifest, ManifestLevel } from '../../schema/manifest.ts';

type Size = Pick<ManifestLevel, 'level' | 'relativeFlops'>;
type Latency = ManifestLevel['latency'][number];

/** A level whose parameters shrink with its FLOPs. */
export function reportLevel(
  { level, relativeFlops }: Size,
  { quality, latency }: Pick<ManifestLevel, 'quality' | 'latency'>,
): ManifestLevel {
  return {
    level,
    widths: [2 + 2 * level],
    params: 10,
    flops: 100 * relativeFlops,
    relativeFlops,
    relativeParams: relativeFlops,
    sparsity: 1 - relativeFlops,
    bytes: 1000,
    quality,
    latency,
    chunk: 'weights-00.bin',
    extents: [],
  };
}

export function cpuLatency(batch: number, p50Ms: number): Latency {
  return { device: 'cpu', threads: 1, batch, samples: 9, p50Ms, p95Ms: p50Ms, p99Ms: p50Ms };
}

/** A path of one pair of six units. */
export function reportManifest(
  levels: readonly ManifestLevel[],
  { id = 'digits', task = 'classification', pair = 'mlp' } = {},
): Manifest {
  return {
    formatVersion: 1,
    model: { id, version: 'p1', sourceSha256: '0'.repeat(64) },
    createdAt: '2026-01-01T00:00:00.000Z',
    task,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 3] }],
    preprocessing: {},
    graph: 'graph.onnx',
    pairs: [{ name: pair, kind: 'sequential', heads: 1, units: 6, flopsPerUnit: 10, paramsPerUnit: 2 }],
    tensors: [],
    shapeConstants: [],
    levels: [...levels],
    files: [{ path: 'graph.onnx', bytes: 1, sha256: '0'.repeat(64) }],
    search: { steps: 100 },
    seed: 0,
    dataSha256: '0'.repeat(64),
  };
}

/** Of one level, of which nothing is told but its quality. */
export function plainManifest(): Manifest {
  const quality = { metric: 'accuracy', value: 0.9, low: 0.8, high: 1, samples: 10 } as const;
  return reportManifest([reportLevel({ level: 0, relativeFlops: 1 }, { quality, latency: [] })]);
}
