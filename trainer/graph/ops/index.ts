/** The one table of operators, and the choice of a version for a graph's opset. */
import { SppError } from '../../../schema/errors.ts';
import type { Graph, GraphNode } from '../graph.ts';
import { activationOps } from './activation.ts';
import { attentionOps } from './attention.ts';
import { blockOps } from './blocks.ts';
import { convolveOps } from './convolve.ts';
import { convolveTransposeOps } from './convolve-transpose.ts';
import { einsumOps } from './einsum.ts';
import { elementwiseOps } from './elementwise.ts';
import { fusedAttentionOps } from './fused-attention.ts';
import { fusedNormalizeOps } from './fused-normalize.ts';
import { gatherOps } from './gather.ts';
import { linearOps } from './linear.ts';
import { mathOps } from './math.ts';
import { normalizeOps } from './normalize.ts';
import type { OpTable, OpVersion } from './op.ts';
import { orderOps } from './order.ts';
import { padOps } from './pad.ts';
import { poolOps } from './pool.ts';
import { reduceOps } from './reduce.ts';
import { resizeOps } from './resize.ts';
import { rotaryOps } from './rotary.ts';
import { scatterOps } from './scatter.ts';
import { shapeOps } from './shape.ts';
import { sliceOps } from './slice.ts';

export const ops: OpTable = {
  ...activationOps,
  ...convolveOps,
  ...convolveTransposeOps,
  ...elementwiseOps,
  ...gatherOps,
  ...linearOps,
  ...normalizeOps,
  ...reduceOps,
  ...shapeOps,
  ...sliceOps,
  ...fusedAttentionOps,
  ...fusedNormalizeOps,
  ...attentionOps,
  ...blockOps,
  ...mathOps,
  ...rotaryOps,
  ...einsumOps,
  ...orderOps,
  ...padOps,
  ...poolOps,
  ...resizeOps,
  ...scatterOps,
};

/**
 * For each node the newest version not above the graph's opset.
 * @throws `unsupported-op` that lists everything missing at once, with nodes and opset
 */
export function resolveOps(graph: Graph): Map<GraphNode, OpVersion> {
  const resolved = new Map<GraphNode, OpVersion>();
  const missing = new Map<string, string[]>();
  for (const node of graph.nodes) {
    const key = keyOf(node.opType, node.domain);
    const opset = graph.opsets[node.domain] ?? 0;
    const version = findVersion(node, opset);
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

/** The newest version of a node's operator that is not above the opset. */
export function findVersion({ opType, domain }: GraphNode, opset: number): OpVersion | undefined {
  const key = keyOf(opType, domain);
  return Object.hasOwn(ops, key) ? ops[key]?.findLast(({ since }) => since <= opset) : undefined;
}

/** Is there an entry for this operator, in any version? */
export function isSupported(opType: string, domain: string): boolean {
  return Object.hasOwn(ops, keyOf(opType, domain));
}

function keyOf(opType: string, domain: string): string {
  return domain === '' || domain === 'ai.onnx' ? opType : `${domain}.${opType}`;
}

function shortList(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}
