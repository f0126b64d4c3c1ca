/**
 * Which operators does a file use, and can they be run? Asked of the file's nodes alone, so that it answers also where reading the
 * model as a whole refuses at the first thing that is wrong.
 */
import type { ModelProto, NodeProto } from 'onnx-buf';
import type { GraphNode } from './graph.ts';
import { QUANTISED } from './graph-check.ts';
import { readAttributes } from './onnx-attribute.ts';
import { plainDomain } from './onnx-file.ts';
import { findVersion } from './ops/index.ts';
import { canUnfuse } from './unfuse/unfuse.ts';

export interface OperatorUse {
  readonly opType: string;
  /** '' is the ONNX domain. */
  readonly domain: string;
  /** Of its domain in this file; 0 where the file names none. */
  readonly opset: number;
  readonly nodes: readonly string[];
  readonly state: 'runs' | 'taken apart' | 'missing';
  /** What is in the way, where it is missing. */
  readonly reason?: string;
}

/** In alphabetical order; an operator stands twice where only some of its nodes can be run. */
export function surveyOperators(model: ModelProto): OperatorUse[] {
  const opsets = new Map(
    model.opsetImport.map(({ domain, version }) => [plainDomain(domain), Number(version)]),
  );
  const functions = new Set(model.functions.map(({ domain, name }) => `${domain}.${name}`));
  const uses = new Map<string, OperatorUse & { nodes: string[] }>();
  for (const [i, node] of (model.graph?.node ?? []).entries()) {
    if (node.opType === 'Constant') continue;
    const domain = plainDomain(node.domain);
    const opset = opsets.get(domain) ?? 0;
    const found = functions.has(`${node.domain}.${node.opType}`)
      ? { state: 'missing' as const, reason: 'a function that the model defines; inline it' }
      : judge(node, domain, opset);
    const key = [domain, node.opType, found.state, found.reason].join('\u0000');
    const known = uses.get(key) ?? { opType: node.opType, domain, opset, nodes: [], ...found };
    known.nodes.push(node.name || node.output.find((output) => output !== '') || `number ${i}`);
    uses.set(key, known);
  }
  return [...uses.values()].sort((a, b) => (a.opType + a.domain < b.opType + b.domain ? -1 : 1));
}

function judge(proto: NodeProto, domain: string, opset: number): Pick<OperatorUse, 'state' | 'reason'> {
  const missing = (reason: string) => ({ state: 'missing' as const, reason });
  if (proto.attribute.some(({ g, graphs }) => g || graphs.length > 0)) return missing('runs a subgraph');
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
