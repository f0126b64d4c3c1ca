/** Operators that write at indices: what was written over gets no gradient, what was written gets the gradient from where it stands. */
import { type GraphNode, intAttribute, stringAttribute } from '../../graph/graph.ts';
import type { Builder } from '../builder.ts';
import { int, mul, text, zerosLike } from '../expressions.ts';
import type { VjpRule, VjpTable } from '../rule.ts';

/** How one of the two operators writes a value's parts at the indices, and reads them there. */
interface Places {
  readonly write: (onto: string, parts: string, reduction?: string) => string;
  readonly read: (from: string) => string;
}

/** What goes back to the data and to the updates, by the reduction. */
function gradients(
  reduction: string,
  { write, read }: Places,
  { b, dy, data, updates, y }: { b: Builder; dy: string; data: string; updates: string; y: string },
): readonly [() => string, () => string] {
  const zero = b.scalar(0);
  const taken = (equal: string, gradient: string) => b.add('Where', [equal, gradient, zero]);
  switch (reduction) {
    case 'add':
      return [() => dy, () => read(dy)];
    case 'mul': {
      const ones = (value: string) => b.add('Expand', [b.scalar(1), b.add('Shape', [value])]);
      return [
        () => mul(b, dy, write(ones(data), updates, 'mul')),
        // Not at an update of zero: the product of the others is not to be had from the whole.
        () => b.add('Div', [read(mul(b, dy, y)), updates]),
      ];
    }
    case 'max':
    case 'min':
      return [
        () => taken(b.add('Equal', [data, y]), dy),
        () => taken(b.add('Equal', [updates, read(y)]), read(dy)),
      ];
    default:
      return [() => write(dy, zerosLike(b, updates)), () => read(dy)];
  }
}

const rule =
  (placesOf: (b: Builder, node: GraphNode, indices: string) => Places): VjpRule['vjp'] =>
  ({ node, build: b, dy, x: [data = '', indices = '', updates = ''], y }) => {
    const reduction = stringAttribute(node, 'reduction', 'none');
    const [toData, toUpdates] = gradients(reduction, placesOf(b, node, indices), { b, dy, data, updates, y });
    return [toData, undefined, toUpdates];
  };

const scatterElements = rule((b, node, indices) => {
  const axis = int(intAttribute(node, 'axis', 0));
  return {
    write: (onto, parts, reduction = 'none') =>
      b.add('ScatterElements', [onto, indices, parts], { axis, reduction: text(reduction) }),
    read: (from) => b.add('GatherElements', [from, indices], { axis }),
  };
});

const scatterNd = rule((b, _, indices) => ({
  write: (onto, parts, reduction = 'none') =>
    b.add('ScatterND', [onto, indices, parts], { reduction: text(reduction) }),
  read: (from) => b.add('GatherND', [from, indices]),
}));

export const scatterRules: VjpTable = {
  ScatterElements: { vjp: scatterElements },
  ScatterND: { vjp: scatterNd },
};
