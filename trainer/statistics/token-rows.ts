/**
 * Which rows of an activation are tokens and which are padding. What attention masks and pooling leaves out tells nothing of the answer, so
 * it counts in no statistic.
 */
import type { TokenMask } from '../data/token-masks.ts';
import { readsOf } from '../graph/branch.ts';
import type { Graph } from '../graph/graph.ts';
import { type Draft, int64 } from '../graph/rewrite.ts';

/** Where a value has the tokens that an input masks. */
export interface TokenRows {
  /** The value: [batch, ..., tokens, ..., size]. */
  readonly value: string;
  readonly rank: number;
  /** Of the tokens, behind the batch and before the last one. */
  readonly axis: number;
  readonly tokens: number;
  /** The input [batch, tokens] that is 0 where there is padding. */
  readonly mask: string;
}

/**
 * Of each value that is made of a masked text, and of none that is read after it, where exactly one axis is as long as the mask.
 * @param dims of the values, for so many examples
 */
export function tokenRows(
  graph: Graph,
  masks: readonly TokenMask[],
  dims: ReadonlyMap<string, readonly number[]>,
  examples: number,
): Map<string, TokenRows> {
  const reached = masks.map((mask) => ({
    mask,
    own: reachOf(graph, mask.of),
    later: reachOf(graph, mask.before),
  }));
  const found = [...dims].flatMap(([value, shape]): [string, TokenRows][] => {
    const [batch, ...middle] = shape.slice(0, -1);
    if (batch !== examples) return [];
    const fitting = reached
      .filter(({ own, later }) => own.has(value) && !later.has(value))
      .flatMap(({ mask: { input, tokens } }) =>
        middle.flatMap((size, i) => (size === tokens ? { mask: input, tokens, axis: i + 1 } : [])),
      );
    const [only, ...others] = fitting;
    return only === undefined || others.length > 0 ? [] : [[value, { value, rank: shape.length, ...only }]];
  });
  return new Map(found);
}

/** All values that inputs decide. */
function reachOf(graph: Graph, inputs: readonly string[]): Set<string> {
  const reached = new Set(inputs);
  for (const node of graph.nodes) {
    if (readsOf(node).some((name) => reached.has(name)))
      for (const output of node.outputs) if (output !== '') reached.add(output);
  }
  return reached;
}

/** Adds what says of each row of the flattened value whether it is a token: [rows], bool. */
export function rowCondition(
  draft: Pick<Draft, 'add' | 'constant'>,
  { value, rank, axis, tokens, mask }: TokenRows,
): string {
  const is = draft.add('Cast', [mask], 'is_token', { to: { kind: 'int', value: BOOL } });
  const flat = draft.constant('token_rows', int64([-1]));
  if (rank === 3) return draft.add('Reshape', [is, flat], 'row_is_token');
  const place = Array.from({ length: rank - 1 }, (_, i) => (i === 0 ? -1 : i === axis ? tokens : 1));
  const placed = draft.add('Reshape', [is, draft.constant('token_place', int64(place))], 'token_placed');
  const [from, to] = [draft.constant('rows_from', int64([0])), draft.constant('rows_to', int64([-1]))];
  const shape = draft.add('Slice', [draft.add('Shape', [value], 'token_shape'), from, to], 'rows_shape');
  return draft.add('Reshape', [draft.add('Expand', [placed, shape], 'token_spread'), flat], 'row_is_token');
}

/** Rows [rows, ...] without those of padding. @param condition as from `rowCondition` */
export function tokensAlone(draft: Pick<Draft, 'add'>, rows: string, condition: string): string {
  return draft.add('Compress', [rows, condition], 'token_rows_alone', { axis: { kind: 'int', value: 0 } });
}

/** As ONNX numbers types. */
const BOOL = 9;
