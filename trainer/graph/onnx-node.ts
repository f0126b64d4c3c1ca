/** Nodes and initializers of an ONNX graph, and of the branches that an If has, to ours and back. Constant nodes become initializers. */
import { create } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  type NodeProto,
  NodeProtoSchema,
} from 'onnx-buf';
import { SppError } from '../../schema/errors.ts';
import type { Attribute, Branch, GraphNode, Tensor } from './graph.ts';
import { readAttributes, writeAttribute } from './onnx-attribute.ts';
import { type ExternalFiles, readTensor, writeTensor } from './onnx-tensor.ts';

interface Contents {
  readonly initializers: Map<string, Tensor>;
  readonly nodes: GraphNode[];
}

/**
 * @param source how messages call what holds the graph
 * @throws `bad-model` for what is damaged, `unsupported-op` for subgraphs of other operators than If
 */
export function readContents(proto: GraphProto, source: string, external?: ExternalFiles): Contents {
  if (proto.sparseInitializer.length > 0)
    throw new SppError('bad-model', `${source}: sparse initializers are not supported.`, {
      hint: 'Export the model with dense weights.',
    });
  const initializers = new Map<string, Tensor>();
  for (const tensor of proto.initializer) {
    if (initializers.has(tensor.name))
      throw new SppError('bad-model', `${source}: the initializer ${tensor.name} is defined twice.`, {
        hint: 'Export the model again.',
      });
    initializers.set(tensor.name, readTensor(tensor, `${source}: the initializer ${tensor.name}`, external));
  }
  return { initializers, nodes: readNodes(proto, source, initializers, external) };
}

/** The graph's nodes, and those of all graphs inside. */
export function everyNode(proto: GraphProto): NodeProto[] {
  return proto.node.flatMap((node) => [node, ...insideOf(node).flatMap(everyNode)]);
}

/** The graphs that a node runs. */
export function insideOf({ attribute }: NodeProto): GraphProto[] {
  return attribute.flatMap(({ g, graphs }) => (g ? [g, ...graphs] : graphs));
}

/** The ONNX domain has two names. */
export function plainDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}

/** Whether an attribute of this node is a branch that we read. */
export function isBranch({ opType, domain }: NodeProto, { g }: AttributeProto): boolean {
  return opType === 'If' && plainDomain(domain) === '' && g !== undefined;
}

function readNodes(
  proto: GraphProto,
  source: string,
  initializers: Map<string, Tensor>,
  external: ExternalFiles | undefined,
): GraphNode[] {
  const nodes: GraphNode[] = [];
  const taken = new Set<string>();
  for (const node of proto.node) {
    const name = uniqueName(node, taken);
    const owner = `${source}: node ${name} (${node.opType})`;
    const attributes = attributesOf(node, owner, external);
    const [output] = node.output;
    if (node.opType === 'Constant' && plainDomain(node.domain) === '' && output !== undefined) {
      const value = attributes.value ?? attributes.value_float ?? attributes.value_int;
      const list = attributes.value_floats ?? attributes.value_ints;
      initializers.set(output, constantTensor(value ?? list, owner));
      continue;
    }
    nodes.push({
      name,
      opType: node.opType,
      domain: plainDomain(node.domain),
      inputs: node.input,
      outputs: node.output,
      attributes,
    });
  }
  return nodes;
}

function attributesOf(
  node: NodeProto,
  owner: string,
  external: ExternalFiles | undefined,
): Record<string, Attribute> {
  const attributes: Record<string, Attribute> = readAttributes(
    node.attribute.filter((attribute) => !isBranch(node, attribute)),
    owner,
    external,
  );
  for (const { name, g } of node.attribute.filter((attribute) => isBranch(node, attribute)))
    if (g) attributes[name] = { kind: 'branch', value: readBranch(g, owner, external) };
  return attributes;
}

function readBranch(proto: GraphProto, owner: string, external: ExternalFiles | undefined): Branch {
  return { ...readContents(proto, owner, external), outputs: proto.output.map(({ name }) => name) };
}

function uniqueName(node: NodeProto, taken: Set<string>): string {
  const base = node.name || node.output.find((output) => output !== '') || node.opType;
  let name = base;
  for (let suffix = 2; taken.has(name); suffix++) name = `${base}_${suffix}`;
  taken.add(name);
  return name;
}

function constantTensor(attribute: Attribute | undefined, owner: string): Tensor {
  switch (attribute?.kind) {
    case 'tensor':
      return attribute.value;
    case 'float':
      return { dtype: 'float32', dims: [], data: Float32Array.of(attribute.value) };
    case 'floats':
      return { dtype: 'float32', dims: [attribute.value.length], data: Float32Array.from(attribute.value) };
    case 'int':
      return { dtype: 'int64', dims: [], data: BigInt64Array.of(BigInt(attribute.value)) };
    case 'ints':
      return {
        dtype: 'int64',
        dims: [attribute.value.length],
        data: BigInt64Array.from(attribute.value, BigInt),
      };
    default:
      throw new SppError('bad-model', `${owner} holds no dense numeric value.`, {
        hint: 'Export the model without string or sparse constants.',
      });
  }
}

/** The node as protobuf. */
export function writeNode(node: GraphNode): NodeProto {
  return create(NodeProtoSchema, {
    name: node.name,
    opType: node.opType,
    domain: node.domain,
    input: [...node.inputs],
    output: [...node.outputs],
    attribute: Object.entries(node.attributes).map(([name, attribute]) =>
      attribute.kind === 'branch' ? writeBranch(name, attribute.value) : writeAttribute(name, attribute),
    ),
  });
}

/** Types of the branch's outputs are left for the reader to infer. */
function writeBranch(name: string, { nodes, initializers, outputs }: Branch): AttributeProto {
  return create(AttributeProtoSchema, {
    name,
    type: AttributeProto_AttributeType.GRAPH,
    g: {
      name,
      node: nodes.map(writeNode),
      initializer: [...initializers].map(([tensorName, tensor]) => writeTensor(tensorName, tensor)),
      output: outputs.map((output) => ({ name: output })),
    },
  });
}
