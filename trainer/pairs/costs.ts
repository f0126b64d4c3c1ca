/** What units cost: the FLOPs of all products that carry them, at the sizes of one run. */
import type { Graph } from '../graph/graph.ts';
import type { Trace } from '../graph/traces.ts';
import { flopsByNode } from './flops.ts';
import type { Pair, SharedCost } from './pair.ts';

/** By pair: the names of the nodes that read or make its units. */
export type Carriers = readonly (readonly string[])[];

interface Counted {
  readonly pairs: readonly Pair[];
  readonly shared: readonly SharedCost[];
  /** Of all products and convolutions. */
  readonly flops: number;
}

/**
 * The same pairs with the FLOPs of a run.
 * @param model its pairs' FLOPs, and those of what they share, are left out of account
 * @param trace of one example: where lengths are free, products of activations grow with their square, and all else does not
 */
export function countedAt(
  model: { readonly graph: Graph; readonly carriers: Carriers } & Pick<Counted, 'pairs' | 'shared'>,
  trace: Trace,
): Counted {
  const { graph, carriers, pairs, shared } = model;
  const counts = new Map([...flopsByNode(graph, trace)].map(([{ name }, count]) => [name, count]));
  const counted = carriers.map((names) =>
    names.flatMap((name) => {
      const count = counts.get(name);
      return count === undefined ? [] : [[name, count] as const];
    }),
  );
  return {
    pairs: pairs.map((pair, p) => {
      const flops = (counted[p] ?? []).reduce((sum, [, count]) => sum + count, 0);
      // Tokens that contents choose (experts) may have been none in the traced run: units cost what one token takes then.
      return { ...pair, flopsPerUnit: flops > 0 ? flops / pair.units : 2 * pair.paramsPerUnit };
    }),
    shared: [
      ...sharedBy(counted).map(([of, flops]) => ({ pairs: of, flops, params: 0 })),
      ...shared.filter(({ params }) => params > 0).map((cost) => ({ ...cost, flops: 0 })),
    ],
    flops: [...counts.values()].reduce((a, b) => a + b, 0),
  };
}

/** Counts of what several have, by who has it. */
export function sharedBy<T>(counts: readonly (readonly (readonly [T, number])[])[]): [number[], number][] {
  const owners = new Map<T, { readonly of: number[]; readonly count: number }>();
  for (const [p, own] of counts.entries())
    for (const [what, count] of own) {
      const known = owners.get(what);
      if (known) known.of.push(p);
      else owners.set(what, { of: [p], count });
    }
  return [...owners.values()].flatMap(({ of, count }) => (of.length > 1 ? [[of, count]] : []));
}
