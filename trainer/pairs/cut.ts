/** Cuts a graph to the units that are kept, or puts the units of the whole graph in another order. */
import { SppError } from '../../schema/errors.ts';
import { gather } from '../graph/gather.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { PreparedModel, UnitAxisOf } from './pair.ts';

/** The parts of a prepared model that say how to cut its graph. */
type Cuttable = Pick<PreparedModel, 'graph' | 'pairs' | 'shapeConstants'>;

/**
 * @param keep by pair, the units to keep, in the order they shall have; at least one each
 * @throws `internal` when a list is empty, repeats a unit or names one that is not there
 */
export function cutGraph(
  { graph, pairs, shapeConstants }: Cuttable,
  keep: readonly (readonly number[])[],
): Graph {
  const initializers = new Map(graph.initializers);
  for (const [p, { name, units, unitAxes }] of pairs.entries()) {
    const kept = keep[p] ?? [];
    checkUnits(name, units, kept);
    if (kept.length === units && kept.every((unit, i) => unit === i)) continue;
    for (const axis of unitAxes) {
      const tensor = initializers.get(axis.tensor);
      if (tensor) initializers.set(axis.tensor, takeUnits(tensor, axis, units, kept));
    }
  }
  for (const { tensor, index, pair, factor } of shapeConstants) {
    const constant = initializers.get(tensor);
    const width = keep[pair]?.length ?? 0;
    if (constant) initializers.set(tensor, withElement(constant, index, factor * width));
  }
  return { ...graph, initializers };
}

/** Every unit stays, in the order given by pair. */
export function orderGraph(prepared: Cuttable, order: readonly (readonly number[])[]): Graph {
  for (const [p, { name, units }] of prepared.pairs.entries()) {
    if (order[p]?.length !== units)
      throw new SppError('internal', `The order of ${name} has ${order[p]?.length ?? 0} of ${units} units.`);
  }
  return cutGraph(prepared, order);
}

function checkUnits(name: string, units: number, kept: readonly number[]): void {
  if (kept.length === 0) throw new SppError('internal', `Nothing would be left of ${name}.`);
  const wrong = kept.find((unit) => !Number.isInteger(unit) || unit < 0 || unit >= units);
  if (wrong !== undefined)
    throw new SppError('internal', `${name} has ${units} units; there is no unit ${wrong}.`);
  if (new Set(kept).size !== kept.length)
    throw new SppError('internal', `The units to keep of ${name} repeat.`);
}

/** An axis of `outer * units * inner`, with these units only. */
function takeUnits(
  tensor: Tensor,
  { axis, outer, inner }: UnitAxisOf,
  units: number,
  kept: readonly number[],
): Tensor {
  const indices: number[] = [];
  for (let o = 0; o < outer; o++)
    for (const unit of kept) for (let i = 0; i < inner; i++) indices.push((o * units + unit) * inner + i);
  return gather(tensor, axis, indices);
}

function withElement(tensor: Tensor, index: number, value: number): Tensor {
  const data = tensor.data.slice();
  if (data instanceof BigInt64Array) data[index] = BigInt(value);
  else data[index] = value;
  return { ...tensor, data };
}
