/** Holds what pair finding claims to the model itself: masking units must equal cutting them, in onnxruntime. */
import { expressed } from '../graph/expressed.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { relativeError } from '../graph/relative-error.ts';
import type { StandIns } from '../graph/stand-in.ts';
import { computeThreads } from '../runtime/compute.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { type FreeSizes, sampleInputs } from '../runtime/sample-inputs.ts';
import { randomSource, shuffledRange, streams } from '../search/random.ts';
import { cutGraph } from './cut.ts';
import { maskedGraph } from './mask-graph.ts';
import type { PreparedModel } from './pair.ts';

/** Float32 sums in another order; a wrong cut is off by orders of magnitude or does not run. */
export const CUT_TOLERANCE = 1e-4;

type Cuttable = Pick<PreparedModel, 'graph' | 'pairs' | 'shapeConstants'>;

/** Kept units by pair, ascending: from one unit to all but one, at random. */
export function randomKeep(pairs: PreparedModel['pairs'], seed: number, step: number): number[][] {
  return pairs.map(({ units }, p) => {
    const random = randomSource(seed, streams.guard, step * pairs.length + p);
    const width = 1 + random.below(Math.max(1, units - 1));
    return shuffledRange(random, units)
      .slice(0, width)
      .sort((a, b) => a - b);
  });
}

/**
 * Largest error over all outputs between cutting to `keep` and masking the rest, relative to each output's largest value.
 * Infinite where the cut graph does not run.
 */
export async function cuttingError(
  model: Cuttable,
  keep: readonly (readonly number[])[],
  sizes: FreeSizes,
  seed: number,
): Promise<number> {
  const masks = model.pairs.map(({ units }, p) => {
    const mask = new Float32Array(units);
    for (const unit of keep[p] ?? []) mask[unit] = 1;
    return mask;
  });
  const inputs = sampleInputs(model.graph, sizes, seed);
  const masked = await outputsOf(maskedGraph(model.graph, model.pairs, masks), inputs);
  // A cut that does not even run is the plainest disagreement.
  const cut = await outputsOf(cutGraph(model, keep), inputs).catch(() => undefined);
  if (!cut) return Number.POSITIVE_INFINITY;
  return Math.max(
    ...Object.entries(masked).map(([name, { data }]) => relativeError(cut[name]?.data ?? [], data).relative),
  );
}

async function outputsOf(
  graph: Graph,
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  // Unoptimised where weights are made in the run: they would all be made, and held, beforehand.
  const made = expressed(graph);
  const session = await createOrtSession(ortModel(made), {
    threads: computeThreads(),
    optimise: made === graph,
  });
  try {
    return await session.run(inputs);
  } finally {
    await session.close();
  }
}

/**
 * Indices of pairs for which masking and cutting differ; usually none, found with a few runs of all pairs together.
 * @param standIns for large weights; the weights themselves are asked where those show a difference
 */
export async function wrongPairs(
  model: Cuttable,
  sizes: readonly FreeSizes[],
  standIns?: StandIns,
): Promise<number[]> {
  if (standIns && (await agree({ ...model, graph: standIns(model.graph) }, sizes))) return [];
  if (await agree(model, sizes)) return [];
  const all = model.pairs.map(({ units }) => Array.from({ length: units }, (_, i) => i));
  const wrong: number[] = [];
  for (const p of model.pairs.keys()) {
    const keep = randomKeep(model.pairs, 2, p);
    const alone = all.map((units, other) => (other === p ? (keep[p] ?? units) : units));
    for (const [step, size] of sizes.entries()) {
      if ((await cuttingError(model, alone, size, step)) <= CUT_TOLERANCE) continue;
      wrong.push(p);
      break;
    }
  }
  return wrong;
}

async function agree(model: Cuttable, sizes: readonly FreeSizes[]): Promise<boolean> {
  for (const [step, size] of sizes.entries())
    if (!((await cuttingError(model, randomKeep(model.pairs, 1, step), size, step)) <= CUT_TOLERANCE))
      return false;
  return true;
}
