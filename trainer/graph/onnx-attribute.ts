/** Node attributes, ONNX's and ours. A `to` or `dtype` that asks for a half float asks for float32 here, as weights do. */
import { create } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  TensorProto_DataType,
} from 'onnx-buf';
import { SppError } from '../../schema/errors.ts';
import type { PlainAttribute } from './graph.ts';
import { type ExternalFiles, readTensor, writeTensor } from './onnx-tensor.ts';

const text = new TextDecoder();
const bytes = new TextEncoder();
const INT64_MAX = 2n ** 63n - 1n;
const HALF_TYPES: readonly number[] = [TensorProto_DataType.FLOAT16, TensorProto_DataType.BFLOAT16];
const TYPE_ATTRIBUTES: readonly string[] = ['to', 'dtype'];

/**
 * @param owner how messages call the node
 * @throws `unsupported-op` for a subgraph, `bad-model` for other kinds that no supported operator has
 */
export function readAttributes(
  protos: readonly AttributeProto[],
  owner: string,
  external?: ExternalFiles,
): Record<string, PlainAttribute> {
  const attributes: Record<string, PlainAttribute> = {};
  for (const proto of protos) attributes[proto.name] = readAttribute(proto, owner, external);
  return attributes;
}

function readAttribute(
  proto: AttributeProto,
  owner: string,
  external: ExternalFiles | undefined,
): PlainAttribute {
  switch (proto.type) {
    case AttributeProto_AttributeType.INT: {
      const value = Number(proto.i);
      const half = TYPE_ATTRIBUTES.includes(proto.name) && HALF_TYPES.includes(value);
      return { kind: 'int', value: half ? TensorProto_DataType.FLOAT : value };
    }
    case AttributeProto_AttributeType.FLOAT:
      return { kind: 'float', value: proto.f };
    case AttributeProto_AttributeType.STRING:
      return { kind: 'string', value: text.decode(proto.s) };
    case AttributeProto_AttributeType.INTS:
      return { kind: 'ints', value: proto.ints.map(Number) };
    case AttributeProto_AttributeType.FLOATS:
      return { kind: 'floats', value: proto.floats };
    case AttributeProto_AttributeType.STRINGS:
      return { kind: 'strings', value: proto.strings.map((string) => text.decode(string)) };
    case AttributeProto_AttributeType.TENSOR:
      if (proto.t)
        return { kind: 'tensor', value: readTensor(proto.t, `${owner}, attribute ${proto.name}`, external) };
      break;
    case AttributeProto_AttributeType.GRAPH:
    case AttributeProto_AttributeType.GRAPHS:
      throw new SppError('unsupported-op', `${owner} runs a subgraph, which is not supported.`, {
        hint: 'Export the model without loops: by torch.onnx.export(..., dynamo=True), which unrolls them, or with fixed dimensions.',
      });
  }
  const kind = AttributeProto_AttributeType[proto.type] ?? `type ${proto.type}`;
  throw new SppError('bad-model', `${owner}: the attribute ${proto.name} (${kind}) cannot be read.`, {
    hint: 'Export the model again with opset 17 or newer.',
  });
}

/** The attribute as protobuf; integers beyond int64, which numbers round to, are brought back into its range. */
export function writeAttribute(name: string, attribute: PlainAttribute): AttributeProto {
  const types = AttributeProto_AttributeType;
  switch (attribute.kind) {
    case 'int':
      return create(AttributeProtoSchema, { name, type: types.INT, i: int64(attribute.value) });
    case 'float':
      return create(AttributeProtoSchema, { name, type: types.FLOAT, f: attribute.value });
    case 'string':
      return create(AttributeProtoSchema, { name, type: types.STRING, s: bytes.encode(attribute.value) });
    case 'ints':
      return create(AttributeProtoSchema, { name, type: types.INTS, ints: attribute.value.map(int64) });
    case 'floats':
      return create(AttributeProtoSchema, { name, type: types.FLOATS, floats: [...attribute.value] });
    case 'strings':
      return create(AttributeProtoSchema, {
        name,
        type: types.STRINGS,
        strings: attribute.value.map((string) => bytes.encode(string)),
      });
    case 'tensor':
      return create(AttributeProtoSchema, { name, type: types.TENSOR, t: writeTensor('', attribute.value) });
  }
}

function int64(value: number): bigint {
  const integer = BigInt(value);
  if (integer > INT64_MAX) return INT64_MAX;
  return integer < -INT64_MAX - 1n ? -INT64_MAX - 1n : integer;
}
