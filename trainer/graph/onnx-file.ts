/** ONNX bytes to our Graph and back. What is read has passed `checkGraph`; Constant nodes have become initializers. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import { SppError } from '../../schema/errors.ts';
import type { Graph, GraphNode, Tensor, ValueInfo } from './graph.ts';
import { checkGraph, refuseQuantised } from './graph-check.ts';
import { readAttributes, writeAttribute } from './onnx-attribute.ts';
import { dtypeOf, type ExternalFiles, onnxElementTypes, readTensor, writeTensor } from './onnx-tensor.ts';

/** Before opset 7 broadcasting was an attribute. */
const OLDEST_OPSET = 7;
/** From IR version 4 on, initializers need not be inputs too. */
const OLDEST_IR_WRITTEN = 4;

/**
 * @param source how messages call the file
 * @param external reads the files that initializers with external data name; see `readOnnxFile`
 * @throws `bad-model` for whatever is not a usable float ONNX graph; `unsupported-op` for subgraphs and model-local functions
 */
export function readOnnx(bytes: Uint8Array, source: string, external?: ExternalFiles): Graph {
  const model = parseModel(bytes, source);
  const proto = model.graph;
  if (!proto) throw notOnnx(source, 'it holds no graph');
  const opsets = readOpsets(model, source);
  if (proto.sparseInitializer.length > 0)
    throw new SppError('bad-model', `${source}: sparse initializers are not supported.`, {
      hint: 'Export the model with dense weights.',
    });
  refuseQuantised(proto.node, source);
  const initializers = new Map<string, Tensor>();
  for (const tensor of proto.initializer) {
    if (initializers.has(tensor.name))
      throw new SppError('bad-model', `${source}: the initializer ${tensor.name} is defined twice.`, {
        hint: 'Export the model again.',
      });
    initializers.set(tensor.name, readTensor(tensor, `${source}: the initializer ${tensor.name}`, external));
  }
  const nodes = readNodes(proto, source, initializers, external);
  const graph: Graph = {
    name: proto.name,
    irVersion: Number(model.irVersion),
    opsets,
    inputs: proto.input.filter(({ name }) => !initializers.has(name)).map((info) => readInfo(info, source)),
    outputs: proto.output.map((info) => readInfo(info, source)),
    initializers,
    nodes,
  };
  checkGraph(graph, source);
  return graph;
}

export interface WriteOptions {
  /** Values to make outputs too, of types that the reader infers. */
  readonly exposed?: readonly string[];
  /** How an initializer is written; with all its data when absent. */
  readonly initializer?: (name: string, tensor: Tensor) => TensorProto;
}

/** The graph as a single-file ONNX model. */
export function writeOnnx(
  graph: Graph,
  { exposed = [], initializer = writeTensor }: WriteOptions = {},
): Uint8Array {
  const model = create(ModelProtoSchema, {
    irVersion: BigInt(Math.max(graph.irVersion, OLDEST_IR_WRITTEN)),
    producerName: 'solution-path',
    opsetImport: Object.entries(graph.opsets).map(([domain, version]) => ({
      domain,
      version: BigInt(version),
    })),
    graph: {
      name: graph.name || 'graph',
      node: graph.nodes.map((node) => ({
        name: node.name,
        opType: node.opType,
        domain: node.domain,
        input: [...node.inputs],
        output: [...node.outputs],
        attribute: Object.entries(node.attributes).map(([name, attribute]) =>
          writeAttribute(name, attribute),
        ),
      })),
      initializer: [...graph.initializers].map(([name, tensor]) => initializer(name, tensor)),
      input: graph.inputs.map(writeInfo),
      output: [
        ...graph.outputs.map(writeInfo),
        ...exposed.map((name) => create(ValueInfoProtoSchema, { name })),
      ],
    },
  });
  return toBinary(ModelProtoSchema, model);
}

/** @throws `bad-model` when the bytes are no complete ONNX file */
export function parseModel(bytes: Uint8Array, source: string): ModelProto {
  if (bytes.byteLength === 0) throw notOnnx(source, 'it is empty');
  const start = new TextDecoder('latin1').decode(bytes.subarray(0, 40));
  if (start.startsWith('version https://git-lfs'))
    throw new SppError('bad-model', `${source} is a Git LFS pointer, not the model itself.`, {
      hint: 'Run `git lfs pull` where the file came from.',
    });
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw notOnnx(source, 'it is cut short or in another format', cause);
  }
}

function notOnnx(source: string, reason: string, cause?: unknown): SppError {
  return new SppError('bad-model', `${source} is not a complete ONNX file: ${reason}.`, {
    hint: 'Check that the export or download finished, and that this is the .onnx file.',
    cause,
  });
}

function readOpsets(model: ModelProto, source: string): Record<string, number> {
  const opsets: Record<string, number> = {};
  for (const { domain, version } of model.opsetImport) opsets[plainDomain(domain)] = Number(version);
  const version = opsets[''];
  if (version === undefined) throw notOnnx(source, 'it names no opset');
  if (version < OLDEST_OPSET)
    throw new SppError(
      'bad-model',
      `${source} uses opset ${version}; the oldest supported is ${OLDEST_OPSET}.`,
      {
        hint: 'Export again with opset 17 or newer, or convert with onnx.version_converter.',
      },
    );
  if (model.functions.length > 0) {
    const names = model.functions.map(({ name }) => name).join(', ');
    throw new SppError('unsupported-op', `${source} defines functions of its own: ${names}.`, {
      hint: 'Inline them with onnx.inliner.inline_local_functions and save the model again.',
    });
  }
  return opsets;
}

/** The ONNX domain has two names. */
export function plainDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
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
    const attributes = readAttributes(node.attribute, owner, external);
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

function uniqueName(node: NodeProto, taken: Set<string>): string {
  const base = node.name || node.output.find((output) => output !== '') || node.opType;
  let name = base;
  for (let suffix = 2; taken.has(name); suffix++) name = `${base}_${suffix}`;
  taken.add(name);
  return name;
}

function constantTensor(attribute: GraphNode['attributes'][string] | undefined, owner: string): Tensor {
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

function readInfo(info: ValueInfoProto, source: string): ValueInfo {
  const owner = `${source}: the value ${info.name}`;
  const type = info.type?.value;
  if (type?.case !== 'tensorType' || !type.value.shape)
    throw new SppError('bad-model', `${owner} is not a tensor with a known rank.`, {
      hint: 'Inputs and outputs need shapes (symbolic dimensions are fine): run onnx.shape_inference, or export again.',
    });
  const dims = type.value.shape.dim.map(({ value }, axis) => {
    if (value.case === 'dimValue') return Number(value.value);
    return value.case === 'dimParam' && value.value !== '' ? value.value : `${info.name}_dim${axis}`;
  });
  return { name: info.name, dtype: dtypeOf(type.value.elemType, owner), dims };
}

function writeInfo(info: ValueInfo): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name: info.name,
    type: {
      value: {
        case: 'tensorType',
        value: {
          elemType: onnxElementTypes[info.dtype],
          shape: {
            dim: info.dims.map((dim) => ({
              value:
                typeof dim === 'number'
                  ? { case: 'dimValue' as const, value: BigInt(dim) }
                  : { case: 'dimParam' as const, value: dim },
            })),
          },
        },
      },
    },
  });
}
