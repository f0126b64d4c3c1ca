/** Refits a level's output matrices one after the other, each on the statistics of the model as it has become by then. */
import { emptySums, type RefitSums, refit } from '../compensation/refit.ts';
import { refitGraph } from '../compensation/refit-graph.ts';
import { type RefitSegment, refitSegments } from '../compensation/refit-segments.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { inOrder, type SessionPool } from '../runtime/session-pool.ts';
import { readBias, readMatrix, weightsOf, writeBias, writeMatrix } from '../weights/linear-weights.ts';
import type { DenseStreams, Site, StreamBlock } from './dense-streams.ts';

/** Every so many-th block validates. */
const VALIDATES = 4;

/** Of one block of examples, the values that the level's graph has given so far and that are still wanted. */
type Known = Map<string, Tensor>;

/**
 * @param level the level's graph, cut
 * @param biases those that may change
 * @returns the same with the sites' matrices and biases changed
 */
export async function refitLevel(
  level: Graph,
  biases: ReadonlySet<string>,
  { sites, blocks }: DenseStreams,
  sessions: SessionPool,
): Promise<Graph> {
  if (blocks.length === 0) return level;
  const notHandedOn = new Set<string>();
  for (;;) {
    const segments = refitSegments(level, sites, notHandedOn);
    const refitted = await refitAlong(level, biases, { sites, blocks }, segments, sessions);
    if ('graph' in refitted) return refitted.graph;
    for (const name of refitted.missing) notHandedOn.add(name);
  }
}

/** @returns the refitted graph, or values that onnxruntime does not give in a form that a tensor of ours can hold */
async function refitAlong(
  level: Graph,
  biases: ReadonlySet<string>,
  { sites, blocks }: DenseStreams,
  segments: readonly RefitSegment[],
  sessions: SessionPool,
): Promise<{ readonly graph: Graph } | { readonly missing: readonly string[] }> {
  const known = blocks.map(({ feeds }): Known => new Map(Object.entries(feeds)));
  let graph = level;
  for (const [place, site] of sites.entries()) {
    const segment = segments[place] as RefitSegment;
    const { bias } = site.consumer;
    const withConstant = bias !== undefined && biases.has(bias.tensor);
    const later = new Set(segments.slice(place + 1).flatMap(({ takes }) => takes));
    const { sums, missing } = await sumsAt(
      { graph, site, place, segment, withConstant, later },
      blocks,
      known,
      sessions,
    );
    if (missing.length > 0) return { missing };
    const [fit, validation] = sums;
    if (fit !== undefined && validation !== undefined) {
      const { change, damping } = refit(fit, validation, withConstant);
      if (damping !== undefined) graph = changed(graph, site, change, withConstant);
    }
    for (const values of known)
      for (const name of [...values.keys()]) if (!later.has(name)) values.delete(name);
  }
  return { graph };
}

interface Step {
  readonly graph: Graph;
  readonly site: Site;
  readonly place: number;
  readonly segment: RefitSegment;
  readonly withConstant: boolean;
  /** Values that pieces behind this one take. */
  readonly later: ReadonlySet<string>;
}

interface Sums {
  /** Over the blocks that fit, and over those that validate. */
  readonly sums: readonly [RefitSums | undefined, RefitSums | undefined];
  readonly missing: readonly string[];
}

/** Runs a segment on all blocks; `known` then has what it leaves. */
async function sumsAt(
  { graph, site, place, segment, withConstant, later }: Step,
  blocks: readonly StreamBlock[],
  known: readonly Known[],
  sessions: SessionPool,
): Promise<Sums> {
  const piece = pieceOf(graph, segment, known[0] ?? new Map());
  const asked = refitGraph(piece, site, withConstant, segment.leaves);
  const session = await sessions.open(ortModel(asked.graph, segment.leaves));
  const sums: [RefitSums | undefined, RefitSums | undefined] = [undefined, undefined];
  const missing = new Set<string>();
  const run = ({ feeds, targets }: StreamBlock, block: number) => {
    const values = known[block] as Known;
    const taken = segment.takes.map((name): [string, Tensor] => [name, values.get(name) as Tensor]);
    return session.run(
      { ...Object.fromEntries(taken), [asked.target]: targets[place] as Tensor },
      undefined,
      lastUses(segment.takes, values, later, feeds),
    );
  };
  try {
    await inOrder(
      blocks.entries(),
      sessions.ahead,
      ([i, block]) => run(block, i),
      (outputs, [i, { targets }]) => {
        const gram = outputs[asked.gram] as Tensor;
        const cross = outputs[asked.cross] as Tensor;
        const to = i % VALIDATES === VALIDATES - 1 ? 1 : 0;
        const sum = sums[to] ?? emptySums(gram.dims[0] ?? 0, cross.data.length);
        addInto(sum.gram, gram.data as Float32Array);
        addInto(sum.cross, cross.data as Float32Array);
        sums[to] = { ...sum, rows: sum.rows + (targets[place]?.dims[0] ?? 0) };
        for (const name of segment.leaves) {
          const value = outputs[name];
          if (value === undefined) missing.add(name);
          else known[i]?.set(name, value);
        }
      },
    );
    return { sums, missing: [...missing] };
  } finally {
    await session.close();
  }
}

/** Memory of values that are taken here and nowhere else any more; examples are every level's. */
function lastUses(
  takes: readonly string[],
  values: Known,
  later: ReadonlySet<string>,
  feeds: StreamBlock['feeds'],
): ArrayBuffer[] {
  const isLast = (name: string) => !later.has(name) && !Object.hasOwn(feeds, name);
  const kept = new Set([...values].flatMap(([name, { data }]) => (isLast(name) ? [] : [data.buffer])));
  const buffers = takes
    .filter(isLast)
    .flatMap((name) => values.get(name)?.data ?? [])
    .flatMap(({ buffer, byteLength }) =>
      buffer instanceof ArrayBuffer && buffer.byteLength === byteLength && !kept.has(buffer) ? [buffer] : [],
    );
  return [...new Set(buffers)];
}

function addInto(sums: Float64Array, terms: Float32Array): void {
  for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + (terms[i] as number);
}

/** The segment as a graph of its own, which takes values of the kinds that a block has. */
function pieceOf(graph: Graph, { nodes, takes }: RefitSegment, example: Known): Graph {
  const inputs = takes.map((name) => {
    const { dtype, dims } = example.get(name) as Tensor;
    return { name, dtype, dims: dims.map((_, axis) => `${name}/${axis}`) };
  });
  return { ...graph, nodes, inputs, outputs: [] };
}

/** @param change [dIn (and the constant), dOut] */
function changed(graph: Graph, { consumer }: Site, change: Float64Array, withConstant: boolean): Graph {
  const weights = weightsOf(graph);
  const matrix = readMatrix(weights, consumer); // [dOut, dIn]
  const { rows: dOut, cols: dIn } = matrix;
  const data = matrix.data.map(
    (weight, i) => weight + (change[(i % dIn) * dOut + Math.floor(i / dIn)] as number),
  );
  writeMatrix(weights, consumer, { ...matrix, data });
  const bias = withConstant ? readBias(weights, consumer.bias) : undefined;
  if (bias !== undefined && consumer.bias !== undefined)
    writeBias(
      weights,
      consumer.bias,
      bias.map((value, o) => value + (change[dIn * dOut + o] as number)),
    );
  return { ...graph, initializers: weights };
}
