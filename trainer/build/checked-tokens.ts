/** Token ids held to the tables that the model looks them up in, so that a foreign tokenizer is named as what it is. */
import { SppError } from '../../schema/errors.ts';
import { type BoundDataset, type BoundSplit, POSITIONS } from '../data/bind-dataset.ts';
import type { Tensors } from '../data/dataset.ts';
import type { Graph } from '../graph/graph.ts';
import { tableSizes } from '../runtime/sample-inputs.ts';

/** The same data; its feeds throw `bad-data` for an id that no row of a table stands for. */
export function checkedTokens(graph: Graph, data: BoundDataset): BoundDataset {
  const sizes = tableSizes(graph);
  if (sizes.size === 0) return data;
  const checked = (split: BoundSplit): BoundSplit => ({
    ...split,
    feeds: async (indices) => {
      const feeds = await split.feeds(indices);
      for (const [input, size] of sizes) checkIds(feeds, input, size, data.name);
      return feeds;
    },
  });
  return { ...data, train: checked(data.train), test: checked(data.test) };
}

function checkIds(feeds: Tensors, input: string, size: number, name: string): void {
  for (const id of feeds[input]?.data ?? []) {
    if (id >= 0 && id < size) continue;
    throw POSITIONS.test(input)
      ? new SppError(
          'bad-data',
          `${name} has the position ${id}, but the model's input ${input} looks up a table of ${size} positions.`,
          { hint: `Give examples of at most ${size} tokens: --length ${size}.` },
        )
      : new SppError(
          'bad-data',
          `${name} has the token ${id}, but the model's input ${input} looks up a table of ${size} entries.`,
          { hint: 'Check that the tokenizer belongs to this model.' },
        );
  }
}
