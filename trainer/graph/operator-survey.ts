/**
 * Which operators does a file use, and can they be run? Asked of the file's nodes alone, so that it answers also where reading the
 * model as a whole refuses at the first thing that is wrong.
 */
import type { ModelProto, NodeProto } from 'onnx-buf';
import type { Graph, GraphNode } from './graph.ts';
import { QUANTISED } from './graph-check.ts';
import { readAttributes } from './onnx-attribute.ts';
import { everyNode, insideOf, isBranch, plainDomain } from './onnx-node.ts';
import { findVersion } from './ops/index.ts';
import { isIf } from './settle-branches.ts';
import { canUnfuse } from './unfuse/unfuse.ts';

export interface OperatorUse {
  readonly opType: string;
  /** '' is the ONNX domain. */
  readonly domain: string;
  /** Of its domain in this file; 0 where the file names none. */
  readonly opset: number;
  readonly nodes: readonly string[];
  /** `decided`: of an If the branch that is taken stands in its place. */
  readonly state: 'runs' | 'taken apart' | 'decided' | 'missing';
  /** What is in the way, where it is missing. */
  readonly reason?: string;
}

/**
 * In alphabetical order; an operator stands twice where only some of its nodes can be run. Whether what is to be taken apart or decided
 * really is, depends on shapes: see `withLeftovers`.
 */
export function surveyOperators(model: ModelProto): OperatorUse[] {
  const opsets = new Map(
    model.opsetImport.map(({ domain, version }) => [plainDomain(domain), Number(version)]),
  );
  const uses = new Map<string, OperatorUse & { nodes: string[] }>();
  for (const [i, node] of (model.graph ? everyNode(model.graph) : []).entries()) {
    if (node.opType === 'Constant') continue;
    const domain = plainDomain(node.domain);
    const opset = opsets.get(domain) ?? 0;
    const found = judge(node, domain, opset);
    const key = [domain, node.opType, found.state, found.reason].join('\u0000');
    const known = uses.get(key) ?? { opType: node.opType, domain, opset, nodes: [], ...found };
    known.nodes.push(node.name || node.output.find((output) => output !== '') || `number ${i}`);
    uses.set(key, known);
  }
  return [...uses.values()].sort((a, b) => (a.opType + a.domain < b.opType + b.domain ? -1 : 1));
}

/**
 * The same with what stays of the operators that were to be taken apart or decided, which is missing then.
 * @param plain the file's graph after both
 */
export function withLeftovers(uses: readonly OperatorUse[], plain: Graph): OperatorUse[] {
  const left = new Set(
    plain.nodes
      .filter((node) => {
        const version = findVersion(node, plain.opsets[node.domain] ?? 0);
        return isIf(node) || !version || version.unsupported?.(node) !== undefined;
      })
      .map(({ name }) => name),
  );
  return uses.flatMap((use) => {
    const stuck = use.nodes.filter((name) => left.has(name));
    if (stuck.length === 0 || use.state === 'runs' || use.state === 'missing') return [use];
    const rest = use.nodes.filter((name) => !left.has(name));
    return [
      ...(rest.length > 0 ? [{ ...use, nodes: rest }] : []),
      { ...use, nodes: stuck, state: 'missing' as const, reason: 'in a form that has no plain one' },
    ];
  });
}

function judge(proto: NodeProto, domain: string, opset: number): Pick<OperatorUse, 'state' | 'reason'> {
  const missing = (reason: string) => ({ state: 'missing' as const, reason });
  const branches = proto.attribute.filter((attribute) => isBranch(proto, attribute)).length;
  if (insideOf(proto).length > branches) return missing('runs a subgraph');
  if (branches > 0) return { state: 'decided' };
  if (QUANTISED.test(proto.opType)) return missing('quantised');
  const node: GraphNode = {
    name: proto.name,
    opType: proto.opType,
    domain,
    inputs: proto.input,
    outputs: proto.output,
    attributes: readAttributes(
      proto.attribute.filter(({ t }) => !t),
      proto.name,
    ),
  };
  const version = findVersion(node, opset);
  const beyond = version?.unsupported?.(node);
  if (version && beyond === undefined) return { state: canUnfuse(node) ? 'taken apart' : 'runs' };
  if (canUnfuse(node)) return { state: 'taken apart' };
  return missing(version ? `with ${beyond}` : 'not in the table');
}
