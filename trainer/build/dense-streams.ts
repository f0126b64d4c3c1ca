/** What the dense model has behind each matrix that compensation changes, on some calibration examples: the targets of refitting. */

import { chosenRows } from '../compensation/chosen-rows.ts';
import { streamBehind } from '../compensation/refit-graph.ts';
import { scoreMap } from '../compensation/score-map.ts';
import type { Tensors } from '../data/dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { draftOf, withoutDeadCode } from '../graph/rewrite.ts';
import type { LinearMap, PreparedModel } from '../pairs/pair.ts';
import { computeProvider } from '../runtime/compute.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import type { Pool } from './calibration.ts';

/** Rows of a pair's site that are kept, at most and at least of the scores', and floats of all sites together (512 MiB). */
const STREAM_ROWS = 2 ** 14;
const SCORE_ROWS = 2 ** 11;
/** Rows of scores for each entry of what they are made from. */
const ROWS_PER_ENTRY = 16;
const STREAM_FLOATS = 2 ** 27;
/** At least so many, so that some can validate; more where a block would be more than the caches hold. */
const BLOCKS = 8;
const MOST_IN_BLOCK = 64;

/** A matrix to refit. */
export interface Site {
  readonly consumer: LinearMap;
  readonly stream: string;
}

export interface StreamBlock {
  readonly feeds: Tensors;
  /** By site, [rows, dOut]. */
  readonly targets: readonly Tensor[];
}

export interface DenseStreams {
  readonly sites: readonly Site[];
  readonly blocks: readonly StreamBlock[];
}

/** The output matrices of all pairs whose rows can be set beside the dense model's, in the order in which the model computes them. */
export function refitSites({ graph, pairs }: Pick<PreparedModel, 'graph' | 'pairs'>): Site[] {
  const place = new Map(graph.nodes.map(({ name }, i) => [name, i]));
  const chosen = chosenRows(graph);
  // Where a map's outputs are another pair's units, a level lacks some of what the dense model has behind it.
  const isCut = (tensor: string, axis: number) =>
    pairs.some(({ unitAxes }) => unitAxes.some((cut) => cut.tensor === tensor && cut.axis === axis));
  return pairs
    .flatMap(({ consumers }) =>
      consumers.map((consumer) => ({ consumer, stream: streamBehind(graph, consumer) })),
    )
    .filter(({ consumer, stream }) => !chosen.has(consumer.output) && !chosen.has(stream))
    .filter(({ consumer: { weight, otherAxis } }) => !isCut(weight.tensor, otherAxis))
    .toSorted((a, b) => (place.get(a.consumer.node) ?? 0) - (place.get(b.consumer.node) ?? 0));
}

/** The matrix that makes the scores, where `outputMap` finds one; it has no residual stream behind it. */
export function scoreSites({ graph }: Pick<PreparedModel, 'graph'>, { task }: Pick<Pool, 'task'>): Site[] {
  const consumer = scoreMap(graph, task);
  return consumer === undefined ? [] : [{ consumer, stream: consumer.output }];
}

/** Rows that the refit of the scores' matrix wants, by the size of what it multiplies. */
export function scoreRows({ graph }: Pick<PreparedModel, 'graph'>, sites: readonly Site[]): number {
  const widths = sites.map(({ consumer }) => {
    const dims = graph.initializers.get(consumer.weight.tensor)?.dims ?? [];
    return dims[consumer.weight.axis] ?? 0;
  });
  return Math.min(STREAM_ROWS, Math.max(SCORE_ROWS, ROWS_PER_ENTRY * Math.max(0, ...widths)));
}

/** Runs the dense model once over a few examples of the pool, in blocks small enough that some can validate. */
export async function denseStreams(
  model: Pick<PreparedModel, 'graph'>,
  sites: readonly Site[],
  pool: Pool,
  threads: number,
  rows = STREAM_ROWS,
): Promise<DenseStreams> {
  if (sites.length === 0) return { sites, blocks: [] };
  const streams = [...new Set(sites.map(({ stream }) => stream))];
  const { graph, names } = flattened(model.graph, streams);
  const session = await createOrtSession(ortModel(graph), { threads, provider: computeProvider() });
  try {
    const one = await pool.data.train.feeds(pool.indices.slice(0, 1));
    const probe = Object.values(await session.run(one));
    const rowsEach = Math.max(1, ...probe.map(({ dims }) => dims[0] ?? 1));
    const floatsEach = [...probe, ...Object.values(one)].reduce((sum, { data }) => sum + data.length, 0);
    const most = Math.min(rows / rowsEach, STREAM_FLOATS / Math.max(1, floatsEach), pool.indices.length);
    const count = Math.max(BLOCKS, Math.ceil(most / MOST_IN_BLOCK));
    const size = Math.max(1, Math.floor(most / count));
    const blocks: StreamBlock[] = [];
    for (let block = 0; block < count && (block + 1) * size <= pool.indices.length; block++) {
      const feeds = await pool.data.train.feeds(pool.indices.slice(block * size, (block + 1) * size));
      const outputs = await session.run(feeds);
      const targets = sites.map(({ stream }) => outputs[names[streams.indexOf(stream)] ?? ''] as Tensor);
      blocks.push({ feeds, targets });
    }
    return { sites, blocks };
  } finally {
    await session.close();
  }
}

function flattened(graph: Graph, streams: readonly string[]): { graph: Graph; names: string[] } {
  const draft = draftOf(graph);
  draft.nodes.push(...graph.nodes);
  const names = streams.map((stream) =>
    draft.add('Flatten', [stream], 'dense_stream', { axis: { kind: 'int', value: -1 } }),
  );
  const outputs = names.map((name) => ({ name, dtype: 'float32' as const, dims: ['rows', 'columns'] }));
  return { graph: withoutDeadCode({ ...graph, nodes: draft.nodes, outputs }), names };
}
