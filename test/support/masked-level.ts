/** The reference that a served level is held against: the dense graph with masks, run whole by onnxruntime. */
import { assembleLevel, filesOfLevel, levelTensor } from '../../schema/artifact/level-model.ts';
import type { Artifact } from '../../schema/artifact/store.ts';
import { unitPositions } from '../../trainer/compensation/compensate-level.ts';
import type { Graph, Tensor } from '../../trainer/graph/graph.ts';
import { readOnnx } from '../../trainer/graph/onnx-file.ts';
import { maskedGraph } from '../../trainer/pairs/mask-graph.ts';
import { preparePairs } from '../../trainer/pairs/prepare.ts';

/**
 * The dense level's graph with the level's output matrices, units beyond the level's widths masked with 0, nothing cut.
 * Pairs are found anew in the dense level, so that the artifact is not held against its own bookkeeping.
 */
export async function maskedLevel(artifact: Artifact, level: number): Promise<Graph> {
  const { manifest } = artifact;
  const top = manifest.levels.length - 1;
  const read = async (paths: readonly string[]) =>
    new Map(await Promise.all(paths.map(async (path) => [path, await artifact.read(path)] as const)));
  const graphBytes = await artifact.read(manifest.graph);
  const dense = assembleLevel(manifest, graphBytes, top, await read(filesOfLevel(manifest, top)));
  const prepared = await preparePairs(readOnnx(dense, 'dense level'), 'dense level');
  const { widths = [], own } = manifest.levels[level] ?? {};
  const files = await read(filesOfLevel(manifest, level));
  const initializers = new Map(prepared.graph.initializers);
  for (const { tensor: name } of own?.extents ?? []) {
    const entry = manifest.tensors.find((tensor) => tensor.name === name);
    const current = initializers.get(name);
    if (entry === undefined || current === undefined) throw new Error(`${name} is not in the dense level`);
    initializers.set(
      name,
      spread(current, levelTensor(manifest, entry, level, files), entry.unitAxes, widths),
    );
  }
  const masks = prepared.pairs.map((pair) => {
    const p = manifest.pairs.findIndex(({ name }) => name === pair.name);
    return Float32Array.from({ length: pair.units }, (_, unit) => (unit < (widths[p] ?? 0) ? 1 : 0));
  });
  return maskedGraph({ ...prepared.graph, initializers }, prepared.pairs, masks);
}

/** Puts a cut tensor's values where they stood in the dense one, zeros elsewhere. */
function spread(
  dense: Tensor,
  values: Float32Array,
  unitAxes: readonly { axis: number; pair: number; outer: number; inner: number }[],
  widths: readonly number[],
): Tensor {
  const positions = dense.dims.map((size, axis) => {
    const unit = unitAxes.find((candidate) => candidate.axis === axis);
    if (unit === undefined) return Array.from({ length: size }, (_, i) => i);
    const kept = Array.from({ length: widths[unit.pair] ?? 0 }, (_, u) => u);
    return unitPositions(unit.outer, size / unit.outer / unit.inner, unit.inner, kept);
  });
  const data = new Float32Array(dense.data.length);
  const place = (axis: number, denseOffset: number, cutOffset: number): void => {
    const rows = positions[axis];
    if (rows === undefined) {
      data[denseOffset] = values[cutOffset] as number;
      return;
    }
    for (const [i, position] of rows.entries())
      place(axis + 1, denseOffset * (dense.dims[axis] ?? 1) + position, cutOffset * rows.length + i);
  };
  place(0, 0, 0);
  return { ...dense, data };
}
