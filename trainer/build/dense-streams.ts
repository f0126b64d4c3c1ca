/** What the dense model has behind each matrix that compensation changes, on some calibration examples: the targets of refitting. */

import { chosenRows } from '../compensation/chosen-rows.ts';
import { streamBehind } from '../compensation/refit-graph.ts';
import type { RefitPlace } from '../compensation/refit-segments.ts';
import { scoreMap } from '../compensation/score-map.ts';
import type { Tensors } from '../data/dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { draftOf, withoutDeadCode } from '../graph/rewrite.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import { computeProvider } from '../runtime/compute.ts';
import { createOrtSession, type OrtSession } from '../runtime/ort-session.ts';
import { rowCondition, type TokenRows, tokensAlone } from '../statistics/token-rows.ts';
import type { Pool } from './calibration.ts';
import { probeRows } from './probe-rows.ts';

/** Rows of a pair's site that are kept, at most and at least of the scores', and floats of all sites together (512 MiB). */
const STREAM_ROWS = 2 ** 14;
const SCORE_ROWS = 2 ** 11;
/** Rows of scores for each entry of what they are made from. */
const ROWS_PER_ENTRY = 16;
const STREAM_FLOATS = 2 ** 27;
/** At least so many, so that some can validate; more where a block would be more than the caches hold. */
const BLOCKS = 8;
const MOST_IN_BLOCK = 64;
/** Examples that tell how many rows one has, where some of them are padding. */
const PROBED = 32;

/** A matrix to refit. */
export type Site = RefitPlace;

export interface StreamBlock {
  readonly feeds: Tensors;
  /** By site, [rows, dOut], without those of padding. */
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
  const places = await withTokens(model.graph, sites, pool);
  const { graph, names } = flattened(model.graph, places);
  const session = await createOrtSession(ortModel(graph), { threads, provider: computeProvider() });
  try {
    const { rowsEach, floatsEach } = await sizesOf(session, places, pool);
    const most = Math.min(rows / rowsEach, STREAM_FLOATS / Math.max(1, floatsEach), pool.indices.length);
    const count = Math.max(BLOCKS, Math.ceil(most / MOST_IN_BLOCK));
    const size = Math.max(1, Math.floor(most / count));
    const blocks: StreamBlock[] = [];
    for (let block = 0; block < count && (block + 1) * size <= pool.indices.length; block++) {
      const feeds = await pool.data.train.feeds(pool.indices.slice(block * size, (block + 1) * size));
      const outputs = await session.run(feeds);
      const targets = names.map((name) => outputs[name] as Tensor);
      blocks.push({ feeds, targets });
    }
    return { sites: places, blocks };
  } finally {
    await session.close();
  }
}

/** Of an example, on average of some where rows are left out. */
async function sizesOf(
  session: OrtSession,
  places: readonly Site[],
  { data, indices }: Pool,
): Promise<{ rowsEach: number; floatsEach: number }> {
  const seen = indices.slice(0, places.some(({ tokens }) => tokens !== undefined) ? PROBED : 1);
  let [rows, floats] = [0, 0];
  for (const index of seen) {
    const one = await data.train.feeds([index]);
    const probe = Object.values(await session.run(one));
    rows += Math.max(1, ...probe.map(({ dims }) => dims[0] ?? 1));
    floats += [...probe, ...Object.values(one)].reduce((sum, { data }) => sum + data.length, 0);
  }
  return { rowsEach: rows / seen.length, floatsEach: floats / seen.length };
}

/** A matrix's inputs and what stands behind it have the same rows: where one of the two shows its tokens, both are told. */
async function withTokens(graph: Graph, sites: readonly Site[], { data }: Pool): Promise<Site[]> {
  const values = new Set(sites.flatMap(({ consumer, stream }) => [consumer.input, stream]));
  const rows = await probeRows(graph, [...values], data);
  return sites.map((site) => {
    const shown = [site.consumer.input, site.stream].flatMap((value) => rows.get(value) ?? []);
    const [tokens, other = tokens] = shown;
    return tokens === undefined || tokens.mask !== other?.mask ? site : { ...site, tokens };
  });
}

/** @returns the names of the outputs, by place; places with the same rows of one stream share theirs */
function flattened(graph: Graph, places: readonly Site[]): { graph: Graph; names: string[] } {
  const draft = draftOf(graph);
  draft.nodes.push(...graph.nodes);
  const made = new Map<string, string>();
  const rowsOf = (stream: string, tokens: TokenRows | undefined): string => {
    const rows = draft.add('Flatten', [stream], 'dense_stream', { axis: { kind: 'int', value: -1 } });
    return tokens === undefined ? rows : tokensAlone(draft, rows, rowCondition(draft, tokens));
  };
  const names = places.map(({ stream, tokens }) => {
    const key = JSON.stringify([stream, tokens?.mask]);
    const name = made.get(key) ?? rowsOf(stream, tokens);
    made.set(key, name);
    return name;
  });
  const outputs = [...new Set(names)].map((name) => ({
    name,
    dtype: 'float32' as const,
    dims: ['rows', 'columns'],
  }));
  const { nodes, initializers } = draft;
  return { graph: withoutDeadCode({ ...graph, nodes, initializers, outputs }), names };
}
