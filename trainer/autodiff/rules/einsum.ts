/** Einsum: the gradient of an operand is an Einsum of the output's gradient and the other operands. */
import { parseEquation } from '../../graph/einsum-equation.ts';
import { type GraphNode, stringAttribute } from '../../graph/graph.ts';
import type { Builder } from '../builder.ts';
import { lengthOf, reduceSum, text } from '../expressions.ts';
import type { VjpRule, VjpTable } from '../rule.ts';

function labelsOf(node: GraphNode, b: Builder) {
  const ranks = node.inputs.map((value) => b.dims(value).length);
  return parseEquation(stringAttribute(node, 'equation', ''), ranks);
}

const einsum: VjpRule['vjp'] = ({ node, build: b, dy, x }) => {
  const { inputs, output } = labelsOf(node, b);
  // Letters of our own: ellipses have none.
  const all = [...new Set([...inputs.flat(), ...output])];
  const spell = (labels: readonly string[]) =>
    labels.map((label) => String.fromCharCode('a'.charCodeAt(0) + all.indexOf(label))).join('');
  return x.map((value, index) => () => {
    const own = inputs[index] ?? [];
    const others = [...x.keys()].filter((i) => i !== index);
    const met = new Set([output, ...others.map((i) => inputs[i] ?? [])].flat());
    const found = own.filter((label) => met.has(label));
    const terms = [output, ...others.map((i) => inputs[i] ?? [])].map(spell);
    const gradient = b.add('Einsum', [dy, ...others.map((i) => x[i] as string)], {
      equation: text(`${terms.join()}->${spell(found)}`),
    });
    return wholeShape(b, gradient, value, own, found, (label) =>
      others.some((i) => {
        const at = (inputs[i] ?? []).indexOf(label);
        return at >= 0 && b.dims(x[i] as string)[at] !== 1;
      }),
    );
  });
};

/** Labels that only this operand has were summed: their gradient is the same all along. Axes of one that were repeated are summed. */
function wholeShape(
  b: Builder,
  gradient: string,
  value: string,
  own: readonly string[],
  found: readonly string[],
  isLonger: (label: string) => boolean,
): string {
  const lone = own.flatMap((label, axis) => (found.includes(label) ? [] : [axis]));
  const open = lone.length === 0 ? gradient : b.add('Unsqueeze', [gradient, b.integers(lone)]);
  const repeated = own.flatMap((label, axis) => (b.dims(value)[axis] === 1 && isLonger(label) ? [axis] : []));
  const summed = repeated.length === 0 ? open : reduceSum(b, open, repeated, true);
  if (lone.length === 0) return summed;
  const lengths = own.map((_, axis) => lengthOf(b, value, axis));
  return b.add('Expand', [summed, b.add('Concat', lengths, { axis: { kind: 'int', value: 0 } })]);
}

function unsupported(node: GraphNode, b: Builder): string | undefined {
  const { inputs, output } = labelsOf(node, b);
  const twice = [...inputs, output].some((labels) => new Set(labels).size < labels.length);
  return twice ? 'a diagonal' : undefined;
}

export const einsumRules: VjpTable = { Einsum: { vjp: einsum, unsupported } };
