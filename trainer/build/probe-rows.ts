/** Where activations have the tokens that the data masks, found by running the model on a few examples. */
import type { BoundDataset } from '../data/bind-dataset.ts';
import type { Graph } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { draftOf, withoutDeadCode } from '../graph/rewrite.ts';
import { computeProvider } from '../runtime/compute.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { type TokenRows, tokenRows } from '../statistics/token-rows.ts';

/** More than one, so that the batch is told from axes of one entry. */
const EXAMPLES = 2;

/** By value; of none where the data says nothing of padding. */
export async function probeRows(
  graph: Graph,
  values: readonly string[],
  { masks = [], train }: Pick<BoundDataset, 'masks' | 'train'>,
): Promise<ReadonlyMap<string, TokenRows>> {
  if (masks.length === 0 || values.length === 0) return new Map();
  const draft = draftOf(graph);
  draft.nodes.push(...graph.nodes);
  const shapes = values.map((value) => draft.add('Shape', [value], 'value_shape'));
  const outputs = shapes.map((name) => ({ name, dtype: 'int64' as const, dims: ['rank'] }));
  const asked = withoutDeadCode({ ...graph, nodes: draft.nodes, outputs });
  const session = await createOrtSession(ortModel(asked), { threads: 1, provider: computeProvider() });
  try {
    const indices = Array.from({ length: EXAMPLES }, (_, i) => i % train.count);
    const made = await session.run(await train.feeds(indices));
    const dims = values.map((value, i): [string, number[]] => [
      value,
      Array.from(made[shapes[i] ?? '']?.data ?? [], Number),
    ]);
    return tokenRows(graph, masks, new Map(dims), EXAMPLES);
  } finally {
    await session.close();
  }
}
