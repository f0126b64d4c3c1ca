/**
 * Reverse-mode differentiation: walks the nodes backwards once and asks each one's rule for the gradients of those inputs that lead to
 * a wanted value. What leads to none is never written.
 */
import { SppError } from '../../schema/errors.ts';
import type { Graph, GraphNode } from '../graph/graph.ts';
import type { Builder } from './builder.ts';
import { isFloat } from './facts.ts';
import { ruleKey } from './rule.ts';
import { rules } from './rules/index.ts';

export interface BackwardRequest {
  /** The forward nodes, which the builder holds too. */
  readonly nodes: Graph['nodes'];
  /** Gradients of the loss in some values, in those values' shapes. */
  readonly seeds: ReadonlyMap<string, string>;
  /** Values whose gradient is asked for. */
  readonly wanted: readonly string[];
  /** Values whose gradient is told where it is on the way to a wanted one. */
  readonly passed?: readonly string[];
}

/**
 * @returns the gradient of each wanted or passed value; those that the seeds do not depend on are missing
 * @throws `unsupported-op` that lists every node on the way that has no rule
 */
export function addBackward(
  build: Builder,
  { nodes, seeds, wanted, passed = [] }: BackwardRequest,
): Map<string, string> {
  const live = dependents(build, nodes, wanted);
  const path = leadingTo(nodes, live, new Set(seeds.keys()));
  refuseMissing(build, path, live);
  const terms = new Map([...seeds].map(([value, gradient]) => [value, [gradient]]));
  const gradientOf = (value: string): string | undefined => {
    const [first, ...more] = terms.get(value) ?? [];
    if (first === undefined) return undefined;
    const sum = more.reduce((total, term) => build.add('Add', [total, term]), first);
    terms.set(value, [sum]);
    return sum;
  };
  for (const node of path.toReversed()) {
    const gradients = node.outputs.map((output) => gradientOf(output));
    if (gradients.every((gradient) => gradient === undefined)) continue;
    const call = { node, build, dy: gradients[0] ?? '', gradients, x: node.inputs, y: node.outputs[0] ?? '' };
    const pullbacks = rules[ruleKey(node)]?.vjp(call) ?? [];
    node.inputs.forEach((input, index) => {
      if (!live.has(input)) return;
      const gradient = pullbacks[index]?.();
      if (gradient !== undefined) terms.set(input, [...(terms.get(input) ?? []), gradient]);
    });
  }
  const settled = passed.filter((value) => terms.get(value)?.length === 1);
  return new Map(
    [...wanted, ...settled].flatMap((value) => {
      const gradient = gradientOf(value);
      return gradient === undefined ? [] : [[value, gradient] as const];
    }),
  );
}

/** Float values that change with a wanted one. */
function dependents(build: Builder, nodes: readonly GraphNode[], wanted: readonly string[]): Set<string> {
  const live = new Set(wanted);
  for (const { inputs, outputs } of nodes) {
    if (!inputs.some((input) => live.has(input))) continue;
    for (const output of outputs) if (output !== '' && isFloat(build.facts(output))) live.add(output);
  }
  return live;
}

/** The nodes between wanted values and seeds, in graph order. */
function leadingTo(
  nodes: readonly GraphNode[],
  live: ReadonlySet<string>,
  seeds: ReadonlySet<string>,
): GraphNode[] {
  const needed = new Set(seeds);
  return nodes
    .toReversed()
    .filter(({ inputs, outputs }) => {
      const onPath = inputs.some((input) => live.has(input)) && outputs.some((output) => needed.has(output));
      if (onPath) for (const input of inputs) if (live.has(input)) needed.add(input);
      return onPath && outputs.some((output) => live.has(output));
    })
    .reverse();
}

function refuseMissing(build: Builder, path: readonly GraphNode[], live: ReadonlySet<string>): void {
  const missing = path.flatMap((node) => {
    const reason = missingIn(build, node, live);
    return reason === undefined ? [] : [`${ruleKey(node)}${reason} (node ${node.name})`];
  });
  if (missing.length === 0) return;
  throw new SppError('unsupported-op', `There is no gradient of ${missing.join(', ')} for onnxruntime.`, {
    hint: 'Use a TensorFlow.js backend, for instance --backend wasm.',
    details: { missing },
  });
}

function missingIn(build: Builder, node: GraphNode, live: ReadonlySet<string>): string | undefined {
  const rule = rules[ruleKey(node)];
  if (rule === undefined) return '';
  const wanted = node.inputs.flatMap((input, i) => (live.has(input) ? [i] : []));
  const refused = rule.unsupported?.(node, build, wanted);
  if (refused !== undefined) return ` with ${refused}`;
  const pullbacks = rule.vjp({
    node,
    build,
    dy: '',
    gradients: [],
    x: node.inputs,
    y: node.outputs[0] ?? '',
  });
  const index = wanted.find((input) => pullbacks[input] === undefined);
  return index === undefined ? undefined : ` by its input ${index}`;
}
