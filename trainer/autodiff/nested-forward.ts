/**
 * The forward graph at any width: how many units of each pair are kept becomes an input, and the weights' leading units are cut out
 * in the graph. A sparse level then costs what a sparse model costs, and gradients come back in the whole weights' shapes, zero for
 * units that were not kept.
 */
import type { Graph, GraphNode, Tensor, ValueInfo } from '../graph/graph.ts';
import type { MaskedAxis } from '../graph/mask-site.ts';
import { type Draft, draftOf, int64, rename } from '../graph/rewrite.ts';

/** An entry of an int64 constant that is `factor` times the width of a pair. */
interface WidthEntry {
  readonly tensor: string;
  readonly index: number;
  readonly pair: number;
  readonly factor: number;
}

/** Which axes carry which pair's units, structurally as in a prepared model; the units stand in the order in which they are kept. */
export interface Nesting {
  readonly pairs: readonly { readonly units: number; readonly unitAxes: readonly MaskedAxis[] }[];
  readonly shapeConstants: readonly WidthEntry[];
}

export interface NestedForward {
  readonly graph: Graph;
  /** Names of the inputs int64 [1], one per pair. */
  readonly widths: readonly string[];
}

/** @returns the graph with an input for each pair's width; weights and shape constants are cut to it when it runs */
export function nestForward(graph: Graph, { pairs, shapeConstants }: Nesting): NestedForward {
  const draft = draftOf(graph);
  const widths = pairs.map((_, pair) => draft.fresh(`width_${pair}`));
  const renamed = new Map<string, string>();
  /** Lengths of tensors as far as they have been cut; -1 where they depend on a width. */
  const lengths = new Map<string, readonly number[]>();
  for (const [pair, { units, unitAxes }] of pairs.entries())
    for (const axis of unitAxes) {
      const from = renamed.get(axis.tensor) ?? axis.tensor;
      const dims = lengths.get(axis.tensor) ?? graph.initializers.get(axis.tensor)?.dims;
      if (dims === undefined) continue;
      lengths.set(axis.tensor, dims.with(axis.axis, -1));
      renamed.set(axis.tensor, leadingUnits(draft, from, dims, axis, units, widths[pair] as string));
    }
  for (const constant of shapeConstants) {
    const tensor = graph.initializers.get(constant.tensor) as Tensor;
    const from = renamed.get(constant.tensor) ?? constant.tensor;
    renamed.set(constant.tensor, withLength(draft, from, tensor, constant, widths[constant.pair] as string));
  }
  const inputs = widths.map((name): ValueInfo => ({ name, dtype: 'int64', dims: [1] }));
  const nodes: GraphNode[] = [...draft.nodes, ...rename(graph.nodes, renamed)];
  return {
    graph: { ...graph, inputs: [...graph.inputs, ...inputs], nodes, initializers: draft.initializers },
    widths,
  };
}

/** The first `width` units of an axis `outer * units * inner`. */
function leadingUnits(
  draft: Draft,
  from: string,
  dims: readonly number[],
  { tensor, axis, outer, inner }: MaskedAxis,
  units: number,
  width: string,
): string {
  const add = (opType: string, ...inputs: string[]) => draft.add(opType, inputs, `${tensor}_kept`);
  const integers = (...values: number[]) => draft.constant(`${tensor}_shape`, int64(values));
  const cut = (value: string, at: number) => add('Slice', value, integers(0), width, integers(at));
  if (outer === 1 && inner === 1) return cut(from, axis);
  const apart = [...dims.slice(0, axis), outer, units, inner, ...dims.slice(axis + 1)];
  const kept = cut(add('Reshape', from, integers(...apart)), axis + 1);
  // Zero copies a length: axes before the cut one stand where they stood.
  const joined = dims.map((length, i) => (i === axis ? -1 : i < axis ? 0 : length));
  return add('Reshape', kept, integers(...joined));
}

/** A vector of integers, or a scalar, of which one entry is `factor * width`. */
function withLength(
  draft: Draft,
  from: string,
  { dims, data }: Tensor,
  { tensor, index, factor }: WidthEntry,
  width: string,
): string {
  const vector = (entry: (i: number) => number) => {
    const values = Array.from({ length: data.length }, (_, i) => entry(i));
    return draft.constant(`${tensor}_part`, { ...int64(values), dims });
  };
  const length = dims.length === 0 ? draft.add('Squeeze', [width], `${tensor}_width`) : width;
  const others = draft.add('Mul', [from, vector((i) => (i === index ? 0 : 1))], `${tensor}_rest`);
  const own = draft.add('Mul', [vector((i) => (i === index ? factor : 0)), length], `${tensor}_own`);
  return draft.add('Add', [others, own], `${tensor}_free`);
}
