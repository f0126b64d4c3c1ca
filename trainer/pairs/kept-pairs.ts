/** Of a model that is held to some of its outputs: the pairs that these depend on. Others would be cut without anything to say what they are worth. */
import { SppError } from '../../schema/errors.ts';
import type { Graph } from '../graph/graph.ts';
import { withoutDeadCode } from '../graph/rewrite.ts';
import type { PreparedModel } from './pair.ts';

/**
 * @param answer the model's graph, or one made from it, with what it is held to as its outputs
 * @returns the model with the other pairs left alone
 * @throws `no-pairs` when none is left
 */
export function keptPairs(model: PreparedModel, answer: Graph): PreparedModel {
  const made = new Set(withoutDeadCode(answer).nodes.flatMap(({ outputs }) => outputs));
  const reached = model.pairs.map(({ maskSites }) => maskSites.every(({ tensor }) => made.has(tensor)));
  if (reached.every(Boolean)) return model;
  const places = [...model.pairs.keys()].filter((pair) => reached[pair]);
  if (places.length === 0)
    throw new SppError('no-pairs', 'No pair of the model reaches the outputs that the path is to keep.', {
      hint: 'Name another --output.',
    });
  const placeOf = new Map(places.map((pair, place) => [pair, place]));
  const others = model.pairs.filter((_, pair) => !reached[pair]);
  return {
    ...model,
    pairs: places.flatMap((pair) => model.pairs[pair] ?? []),
    leftAlone: [
      ...model.leftAlone,
      ...others.map(({ name }) => ({ name, reason: 'it does not reach the outputs that the path keeps' })),
    ],
    // What keeps its width needs no other number in the graph, and adds nothing to what others share.
    shapeConstants: model.shapeConstants.flatMap((constant) => {
      const pair = placeOf.get(constant.pair);
      return pair === undefined ? [] : [{ ...constant, pair }];
    }),
    shared: model.shared.flatMap((cost) => {
      const pairs = cost.pairs.flatMap((pair) => placeOf.get(pair) ?? []);
      return pairs.length < 2 ? [] : [{ ...cost, pairs }];
    }),
  };
}
