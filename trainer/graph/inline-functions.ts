/**
 * Functions that a model file defines for itself (torch.onnx wrote layers so for some releases, onnxscript does): each call gives way to
 * the function's nodes, as the ONNX specification says a call is to be understood. On protobuf, before anything else is read.
 */
import { create } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  OperatorSetIdProtoSchema,
} from 'onnx-buf';
import { SppError } from '../../schema/errors.ts';

/** Functions that call each other in a circle are no program; more calls within calls than this are none either. */
const DEEPEST = 64;

/** What a name inside a function is called outside. */
type Names = (name: string) => string;

/** @throws `bad-model` where functions call each other in a circle, or are written for another opset than the model */
export function inlineFunctions(model: ModelProto, source: string): ModelProto {
  const { functions, graph } = model;
  if (functions.length === 0 || graph === undefined) return model;
  const known = new Map(functions.map((each) => [keyOf(each.domain, each.name, each.overload), each]));
  const opsets = new Map(model.opsetImport.map(({ domain, version }) => [plain(domain), version]));
  for (const each of functions) addOpsets(opsets, each, source);
  let calls = 0;

  const inGraph = (given: GraphProto, depth: number): GraphProto =>
    changed(given, { node: given.node.flatMap((node) => inlined(node, depth)) });

  const inlined = (node: NodeProto, depth: number): NodeProto[] => {
    const called = known.get(keyOf(node.domain, node.opType, node.overload));
    if (called === undefined) return [withBranches(node, (branch) => inGraph(branch, depth))];
    if (depth === DEEPEST)
      throw new SppError('bad-model', `${source}: the function ${called.name} calls itself.`, {
        hint: 'Inline the functions with onnx.inliner.inline_local_functions and save the model again.',
      });
    return bodyOf(called, node, `${node.name || called.name}_${calls++}/`).flatMap((inner) =>
      inlined(inner, depth + 1),
    );
  };

  const opsetImport = [...opsets].map(([domain, version]) =>
    create(OperatorSetIdProtoSchema, { domain, version }),
  );
  return changed(model, { graph: inGraph(graph, 0), functions: [], opsetImport });
}

/** The function's nodes with the call's values and attributes in place of its own. */
function bodyOf(called: FunctionProto, call: NodeProto, prefix: string): NodeProto[] {
  const outside = new Map<string, string>();
  for (const [i, name] of called.input.entries()) outside.set(name, call.input[i] ?? '');
  for (const [i, name] of called.output.entries()) outside.set(name, call.output[i] || `${prefix}${name}`);
  const names: Names = (name) => (name === '' ? '' : (outside.get(name) ?? `${prefix}${name}`));
  const given = new Map([...called.attributeProto, ...call.attribute].map((each) => [each.name, each]));
  return called.node.map((node) => renamed(node, names, given, prefix));
}

function renamed(
  node: NodeProto,
  names: Names,
  given: ReadonlyMap<string, AttributeProto>,
  prefix: string,
): NodeProto {
  const attribute = node.attribute.flatMap((each) => {
    if (each.refAttrName === '') return [each];
    const value = given.get(each.refAttrName);
    // What the call leaves out is the operator's default.
    return value === undefined ? [] : [changed(value, { name: each.name })];
  });
  const own = changed(node, {
    name: `${prefix}${node.name}`,
    input: node.input.map(names),
    output: node.output.map(names),
    attribute,
  });
  return withBranches(own, (branch) => renamedGraph(branch, names, given, prefix));
}

function renamedGraph(
  graph: GraphProto,
  names: Names,
  given: ReadonlyMap<string, AttributeProto>,
  prefix: string,
): GraphProto {
  const port = (info: GraphProto['input'][number]) => changed(info, { name: names(info.name) });
  return changed(graph, {
    node: graph.node.map((node) => renamed(node, names, given, prefix)),
    initializer: graph.initializer.map((tensor) => changed(tensor, { name: names(tensor.name) })),
    input: graph.input.map(port),
    output: graph.output.map(port),
    valueInfo: [],
  });
}

function withBranches(node: NodeProto, change: (branch: GraphProto) => GraphProto): NodeProto {
  if (!node.attribute.some(({ g, graphs }) => g !== undefined || graphs.length > 0)) return node;
  const attribute = node.attribute.map((each) =>
    changed(each, {
      ...(each.g === undefined ? {} : { g: change(each.g) }),
      graphs: each.graphs.map(change),
    }),
  );
  return changed(node, { attribute });
}

function addOpsets(opsets: Map<string, bigint>, { name, opsetImport }: FunctionProto, source: string): void {
  for (const { domain, version } of opsetImport) {
    const known = opsets.get(plain(domain));
    if (known !== undefined && known !== version)
      throw new SppError(
        'bad-model',
        `${source}: the function ${name} is written for opset ${version} of ${domain || 'ai.onnx'}, the model for ${known}.`,
        {
          hint: 'Convert the model with onnx.version_converter, or inline its functions with onnx.inliner.inline_local_functions.',
        },
      );
    opsets.set(plain(domain), version);
  }
}

/** A message like this one but for some fields: what the schema defaults to stands in its prototype. */
function changed<Message extends object>(message: Message, fields: Partial<Message>): Message {
  return Object.assign(Object.create(Object.getPrototypeOf(message)) as Message, message, fields);
}

function keyOf(domain: string, name: string, overload: string): string {
  return JSON.stringify([plain(domain), name, overload]);
}

function plain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}
