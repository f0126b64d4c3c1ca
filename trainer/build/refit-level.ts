/** Refits a level's output matrices one after the other, each on the statistics of the model as it has become by then. */
import { Matrix } from 'ml-matrix';
import { type RefitSums, refit } from '../compensation/refit.ts';
import { refitGraph } from '../compensation/refit-graph.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { readBias, readMatrix, weightsOf, writeBias, writeMatrix } from '../weights/linear-weights.ts';
import type { DenseStreams, Site, StreamBlock } from './dense-streams.ts';

/** Every so many-th block validates. */
const VALIDATES = 4;

/**
 * @param level the level's graph, cut
 * @param biases those that may change
 * @returns the same with the sites' matrices and biases changed
 */
export async function refitLevel(
  level: Graph,
  biases: ReadonlySet<string>,
  { sites, blocks }: DenseStreams,
  threads: number,
): Promise<Graph> {
  let graph = level;
  for (const [place, site] of sites.entries()) {
    const { bias } = site.consumer;
    const withConstant = bias !== undefined && biases.has(bias.tensor);
    const [fit, validation] = await sumsAt(graph, site, place, blocks, withConstant, threads);
    if (fit === undefined || validation === undefined) continue;
    const { change, damping } = refit(fit, validation, withConstant);
    if (damping !== undefined) graph = changed(graph, site, change, withConstant);
  }
  return graph;
}

/** Sums over the blocks that fit, and over those that validate. */
async function sumsAt(
  graph: Graph,
  { consumer, stream }: Site,
  place: number,
  blocks: readonly StreamBlock[],
  withConstant: boolean,
  threads: number,
): Promise<[RefitSums | undefined, RefitSums | undefined]> {
  const asked = refitGraph(graph, consumer, stream, withConstant);
  const session = await createOrtSession(ortModel(asked.graph), { threads });
  const sums: [RefitSums | undefined, RefitSums | undefined] = [undefined, undefined];
  try {
    const needed = new Set(asked.graph.inputs.map(({ name }) => name));
    for (const [i, { feeds, targets }] of blocks.entries()) {
      const target = targets[place] as Tensor;
      const inputs = Object.fromEntries(Object.entries(feeds).filter(([name]) => needed.has(name)));
      const outputs = await session.run({ ...inputs, [asked.target]: target });
      const own: RefitSums = {
        rows: target.dims[0] ?? 0,
        gram: matrixOf(outputs[asked.gram] as Tensor),
        cross: matrixOf(outputs[asked.cross] as Tensor),
      };
      const to = i % VALIDATES === VALIDATES - 1 ? 1 : 0;
      sums[to] = added(sums[to], own);
    }
    return sums;
  } finally {
    await session.close();
  }
}

function added(sum: RefitSums | undefined, own: RefitSums): RefitSums {
  if (sum === undefined) return own;
  sum.gram.add(own.gram);
  sum.cross.add(own.cross);
  return { ...sum, rows: sum.rows + own.rows };
}

function matrixOf({ dims, data }: Tensor): Matrix {
  const [rows = 0, columns = 0] = dims;
  return Matrix.from1DArray(rows, columns, data as Float32Array);
}

/** @param change [dIn (and the constant), dOut] */
function changed(graph: Graph, { consumer }: Site, change: Matrix, withConstant: boolean): Graph {
  const weights = weightsOf(graph);
  const matrix = readMatrix(weights, consumer); // [dOut, dIn]
  const data = matrix.data.map(
    (weight, i) => weight + change.get(i % matrix.cols, Math.floor(i / matrix.cols)),
  );
  writeMatrix(weights, consumer, { ...matrix, data });
  const bias = withConstant ? readBias(weights, consumer.bias) : undefined;
  if (bias !== undefined && consumer.bias !== undefined)
    writeBias(
      weights,
      consumer.bias,
      bias.map((value, o) => value + change.get(matrix.cols, o)),
    );
  return { ...graph, initializers: weights };
}
