/** ONNX bytes to our Graph and back. What is read has passed `checkGraph`; Constant nodes have become initializers. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import { SppError } from '../../schema/errors.ts';
import type { Graph, Tensor, ValueInfo } from './graph.ts';
import { checkGraph, refuseQuantised } from './graph-check.ts';
import { inlineFunctions } from './inline-functions.ts';
import { everyNode, plainDomain, readContents, writeNode } from './onnx-node.ts';
import { dtypeOf, type ExternalFiles, onnxElementTypes, writeTensor } from './onnx-tensor.ts';

/** Before opset 7 broadcasting was an attribute. */
const OLDEST_OPSET = 7;
/** From IR version 4 on, initializers need not be inputs too. */
const OLDEST_IR_WRITTEN = 4;

/**
 * @param source how messages call the file
 * @param external reads the files that initializers with external data name; see `readOnnxFile`
 * @throws `bad-model` for whatever is not a usable float ONNX graph; `unsupported-op` for loops
 */
export function readOnnx(bytes: Uint8Array, source: string, external?: ExternalFiles): Graph {
  const model = parseModel(bytes, source);
  const proto = model.graph;
  if (!proto) throw notOnnx(source, 'it holds no graph');
  const opsets = readOpsets(model, source);
  refuseQuantised(everyNode(proto), source);
  const { initializers, nodes } = readContents(proto, source, external);
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
      node: graph.nodes.map(writeNode),
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

/** The model with the functions that it defines inlined. @throws `bad-model` when the bytes are no complete ONNX file */
export function parseModel(bytes: Uint8Array, source: string): ModelProto {
  if (bytes.byteLength === 0) throw notOnnx(source, 'it is empty');
  const start = new TextDecoder('latin1').decode(bytes.subarray(0, 40));
  if (start.startsWith('version https://git-lfs'))
    throw new SppError('bad-model', `${source} is a Git LFS pointer, not the model itself.`, {
      hint: 'Run `git lfs pull` where the file came from.',
    });
  let model: ModelProto;
  try {
    model = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw notOnnx(source, 'it is cut short or in another format', cause);
  }
  return inlineFunctions(model, source);
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
  return opsets;
}

function readInfo(info: ValueInfoProto, source: string): ValueInfo {
  const owner = `${source}: the value ${info.name}`;
  const type = info.type?.value;
  if (type?.case !== 'tensorType' || !type.value.shape)
    throw new SppError('bad-model', `${owner} is not a tensor with a known rank.`, {
      hint: 'Inputs and outputs need shapes (symbolic dimensions are fine): run onnx.shape_inference, or export again.',
    });
  const dims = type.value.shape.dim.map(({ value }, axis) => {
    // Converters of Paddle write -1 where a dimension is free, or the same question mark for all of those.
    if (value.case === 'dimValue' && value.value >= 0n) return Number(value.value);
    return value.case === 'dimParam' && value.value !== '' && value.value !== '?'
      ? value.value
      : `${info.name}_dim${axis}`;
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
