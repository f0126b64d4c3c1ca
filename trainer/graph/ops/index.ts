/** The one table of operators, and the choice of a version for a graph's opset. */
import { SppError } from '../../../schema/errors.ts';
import type { Graph, GraphNode } from '../graph.ts';
import { activationOps } from './activation.ts';
import { convolveOps } from './convolve.ts';
import { elementwiseOps } from './elementwise.ts';
import { gatherOps } from './gather.ts';
import { linearOps } from './linear.ts';
import { normalizeOps } from './normalize.ts';
import type { OpTable, OpVersion } from './op.ts';
import { reduceOps } from './reduce.ts';
import { shapeOps } from './shape.ts';
import { sliceOps } from './slice.ts';

export const ops: OpTable = {
  ...activationOps,
  ...convolveOps,
  ...elementwiseOps,
  ...gatherOps,
  ...linearOps,
  ...normalizeOps,
  ...reduceOps,
  ...shapeOps,
  ...sliceOps,
};

/**
 * For each node the newest version not above the graph's opset.
 * @throws `unsupported-op` that lists everything missing at once, with nodes and opset
 */
export function resolveOps(graph: Graph): Map<GraphNode, OpVersion> {
  const resolved = new Map<GraphNode, OpVersion>();
  const missing = new Map<string, string[]>();
  for (const node of graph.nodes) {
    const key = node.domain === '' ? node.opType : `${node.domain}.${node.opType}`;
    const opset = graph.opsets[node.domain] ?? 0;
    const version = Object.hasOwn(ops, key) ? ops[key]?.findLast(({ since }) => since <= opset) : undefined;
    const unsupported = version ? version.unsupported?.(node) : `opset ${opset}`;
    if (version && unsupported === undefined) {
      resolved.set(node, version);
      continue;
    }
    const what = version ? `${key} with ${unsupported}` : `${key} (${unsupported})`;
    missing.set(what, [...(missing.get(what) ?? []), node.name]);
  }
  if (missing.size > 0) {
    const list = [...missing].map(([what, nodes]) => `${what} at ${shortList(nodes)}`);
    throw new SppError('unsupported-op', `Operators that are not supported: ${list.join('; ')}.`, {
      hint: 'Export with other options or opset, or add the operator to trainer/graph/ops (its README says how).',
      details: { operators: Object.fromEntries(missing) },
    });
  }
  return resolved;
}

function shortList(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}
