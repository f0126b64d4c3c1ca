/** Tensors that every level has its own of: where their entries lie within the whole model's, so that a level's can be trained in its place. */
import { SppError } from '../../schema/errors.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { cutGraph } from '../pairs/cut.ts';
import type { PreparedModel } from '../pairs/pair.ts';

/** By tensor, its values in the whole model's shape. */
export type OwnTensors = ReadonlyMap<string, Float32Array>;

/** By tensor, for each entry of a level's, its place in the whole model's. */
export type Places = ReadonlyMap<string, Int32Array>;

/** Found by cutting tensors that hold their own places. @param widths the first so many units of each pair */
export function placesAt(
  model: Pick<PreparedModel, 'graph' | 'pairs' | 'shapeConstants'>,
  names: readonly string[],
  widths: readonly number[],
): Places {
  const initializers = new Map(names.map((name) => [name, counting(model.graph, name)]));
  const cut = cutGraph(
    { ...model, graph: { ...model.graph, initializers } },
    widths.map((width) => Array.from({ length: width }, (_, unit) => unit)),
  );
  return new Map(names.map((name) => [name, cut.initializers.get(name)?.data as Int32Array]));
}

function counting({ initializers }: Graph, name: string): Tensor {
  const tensor = initializers.get(name);
  if (tensor === undefined) throw new SppError('internal', `There is no tensor ${name} to keep by level.`);
  const data = Int32Array.from({ length: tensor.data.length }, (_, place) => place);
  return { dtype: 'int32', dims: tensor.dims, data };
}

/** The whole model's values with the level's in their places. @param level cut */
export function ownOf(whole: Graph, level: Graph, places: Places): OwnTensors {
  return new Map(
    [...places].map(([name, at]) => {
      const values = Float32Array.from(floats(whole, name));
      const own = floats(level, name);
      for (const [i, place] of at.entries()) values[place] = own[i] as number;
      return [name, values];
    }),
  );
}

/** A cut level with its own values. */
export function withOwn(level: Graph, own: OwnTensors, places: Places): Graph {
  const initializers = new Map(level.initializers);
  for (const [name, at] of places) {
    const tensor = initializers.get(name);
    const values = own.get(name);
    if (tensor === undefined || values === undefined) continue;
    initializers.set(name, { ...tensor, data: Float32Array.from(at, (place) => values[place] as number) });
  }
  return { ...level, initializers };
}

function floats({ initializers }: Graph, name: string): Float32Array {
  return initializers.get(name)?.data as Float32Array;
}
