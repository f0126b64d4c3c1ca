/** The graph that gives the moments of a refit, and where in a graph its targets stand. */
import type { Graph, Tensor, ValueInfo } from '../graph/graph.ts';
import { draftOf, int64, withoutDeadCode } from '../graph/rewrite.ts';
import type { LinearMap } from '../pairs/pair.ts';
import { rowCondition, tokensAlone } from '../statistics/token-rows.ts';
import type { RefitPlace } from './refit-segments.ts';

/**
 * What stands behind a linear map that compensation should keep: the sum with the residual stream where the map's output joins one
 * directly, else the output itself.
 */
export function streamBehind(graph: Graph, { output }: LinearMap): string {
  const readers = graph.nodes.filter(({ inputs }) => inputs.includes(output));
  const [add, ...others] = readers;
  if (add?.opType !== 'Add' || others.length > 0) return output;
  const joined = add.inputs.every((input) => !graph.initializers.has(input));
  return joined ? (add.outputs[0] ?? output) : output;
}

export interface RefitGraph {
  readonly graph: Graph;
  /** Name of the input: s*, [rows, dOut], without those of padding. */
  readonly target: string;
  /** Names of the outputs. */
  readonly gram: string;
  readonly cross: string;
}

/**
 * A level's graph up to a stream, with the moments of (u, 1) and of (u, 1) with s* - s as its only outputs.
 * @param withConstant whether u gets a constant 1 behind its last entry
 * @param kept values that are still computed, though no output
 */
export function refitGraph(
  graph: Graph,
  { consumer: { input }, stream, tokens }: RefitPlace,
  withConstant: boolean,
  kept: readonly string[] = [],
): RefitGraph {
  const draft = draftOf(graph);
  draft.nodes.push(...graph.nodes);
  const target = draft.fresh('refit_target');
  const condition = tokens === undefined ? undefined : rowCondition(draft, tokens);
  const rows = rowsOf(input, 'refit_rows');
  const inputs = withConstant ? constantBehind() : rows;
  const reached = rowsOf(stream, 'refit_stream');
  const gaps = draft.add('Sub', [target, reached], 'refit_gaps');
  const turned = draft.add('Transpose', [inputs], 'refit_turned', { perm: { kind: 'ints', value: [1, 0] } });
  const gram = draft.add('MatMul', [turned, inputs], 'refit_gram');
  const cross = draft.add('MatMul', [turned, gaps], 'refit_cross');
  const outputs = [gram, cross].map((name) => ({
    name,
    dtype: 'float32' as const,
    dims: ['rows', 'columns'],
  }));
  const written = withoutDeadCode({
    ...graph,
    nodes: draft.nodes,
    initializers: draft.initializers,
    outputs: [...outputs, ...kept.map((name) => ({ name, dtype: 'float32' as const, dims: [] }))],
  });
  const wanted: ValueInfo = { name: target, dtype: 'float32', dims: ['rows', 'columns'] };
  return {
    graph: { ...written, inputs: [...graph.inputs, wanted], outputs },
    target,
    gram,
    cross,
  };

  function rowsOf(value: string, name: string): string {
    const all = draft.add('Flatten', [value], name, { axis: { kind: 'int', value: -1 } });
    return condition === undefined ? all : tokensAlone(draft, all, condition);
  }

  function constantBehind(): string {
    const column = draft.add(
      'Slice',
      [rows, draft.constant('refit_from', int64([0])), draft.constant('refit_to', int64([1])), axis()],
      'refit_column',
    );
    const zeros = draft.add('Sub', [column, column], 'refit_zeros');
    const ones = draft.add('Add', [zeros, draft.constant('refit_one', one)], 'refit_ones');
    return draft.add('Concat', [rows, ones], 'refit_inputs', { axis: { kind: 'int', value: 1 } });
  }

  function axis(): string {
    return draft.constant('refit_axis', int64([1]));
  }
}

const one: Tensor = { dtype: 'float32', dims: [1, 1], data: Float32Array.of(1) };
