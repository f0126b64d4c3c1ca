/** What the dense model has behind each matrix that compensation changes, on some calibration examples: the targets of refitting. */

import { streamBehind } from '../compensation/refit-graph.ts';
import type { Tensors } from '../data/dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { draftOf, withoutDeadCode } from '../graph/rewrite.ts';
import type { LinearMap, PreparedModel } from '../pairs/pair.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import type { Pool } from './calibration.ts';

/** Rows of a site that are kept, and floats of all sites together (512 MiB). */
const STREAM_ROWS = 2 ** 14;
const STREAM_FLOATS = 2 ** 27;
/** The share of blocks that validates. */
const BLOCKS = 8;

/** A matrix to refit, in the order in which the model computes them. */
export interface Site {
  readonly pair: number;
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

export function refitSites({ graph, pairs }: Pick<PreparedModel, 'graph' | 'pairs'>): Site[] {
  const place = new Map(graph.nodes.map(({ name }, i) => [name, i]));
  return pairs
    .flatMap(({ consumers }, pair) =>
      consumers.map((consumer) => ({ pair, consumer, stream: streamBehind(graph, consumer) })),
    )
    .toSorted((a, b) => (place.get(a.consumer.node) ?? 0) - (place.get(b.consumer.node) ?? 0));
}

/** Runs the dense model once over a few examples of the pool, in blocks small enough that some can validate. */
export async function denseStreams(
  model: Pick<PreparedModel, 'graph' | 'pairs'>,
  pool: Pool,
  threads: number,
): Promise<DenseStreams> {
  const sites = refitSites(model);
  const streams = [...new Set(sites.map(({ stream }) => stream))];
  const { graph, names } = flattened(model.graph, streams);
  const session = await createOrtSession(writeOnnx(graph), { threads });
  try {
    const probe = await session.run(await pool.data.train.feeds(pool.indices.slice(0, 1)));
    const [rowsEach, floatsEach] = Object.values(probe).reduce(
      ([rows, floats], { dims, data }) => [Math.max(rows, dims[0] ?? 1), floats + data.length],
      [1, 0],
    );
    const most = Math.min(
      STREAM_ROWS / rowsEach,
      STREAM_FLOATS / Math.max(1, floatsEach),
      pool.indices.length,
    );
    const size = Math.max(1, Math.floor(most / BLOCKS));
    const blocks: StreamBlock[] = [];
    for (let block = 0; block < BLOCKS && (block + 1) * size <= pool.indices.length; block++) {
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
