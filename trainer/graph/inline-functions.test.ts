import { create, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  FunctionProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
} from 'onnx-buf';
import { expect, test } from 'vitest';
import { createOrtSession } from '../runtime/ort-session.ts';
import { readOnnx, writeOnnx } from './onnx-file.ts';

const floats = { elemType: 1, shape: { dim: [{ value: { case: 'dimParam' as const, value: 'n' } }] } };
const port = (name: string) => ({ name, type: { value: { case: 'tensorType' as const, value: floats } } });
const opset = (domain: string, version: bigint) => create(OperatorSetIdProtoSchema, { domain, version });
const node = (opType: string, input: string[], output: string[], more: object = {}) =>
  create(NodeProtoSchema, { opType, input, output, name: `${opType}_${output[0]}`, ...more });
const own = { domain: 'own' };
const int = (name: string, value: bigint) =>
  create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INT, i: value });
const reference = (name: string, refAttrName: string) =>
  create(AttributeProtoSchema, { name, refAttrName, type: AttributeProto_AttributeType.INT });

/** Twice(x) = x + x; Scaled(x; axis = 0) = Softmax(Twice(x) - optional, axis): functions within functions, attributes with a default. */
function model(edit: (model: ModelProto) => void = () => {}): Uint8Array {
  const made = create(ModelProtoSchema, {
    irVersion: 9n,
    opsetImport: [opset('', 18n), opset('own', 1n)],
    graph: {
      name: 'g',
      input: [port('x')],
      output: [port('y')],
      node: [
        node('Scaled', ['x'], ['h'], { ...own, attribute: [int('axis', -1n)] }),
        node('Scaled', ['h'], ['k'], own),
        node('Twice', ['k'], ['y'], own),
      ],
    },
    functions: [
      create(FunctionProtoSchema, {
        name: 'Scaled',
        ...own,
        input: ['a'],
        output: ['out'],
        opsetImport: [opset('', 18n), opset('own', 1n)],
        attributeProto: [int('axis', 0n)],
        node: [
          node('Twice', ['a'], ['t'], own),
          node('Softmax', ['t'], ['out'], { attribute: [reference('axis', 'axis')] }),
        ],
      }),
      create(FunctionProtoSchema, {
        name: 'Twice',
        ...own,
        input: ['x'],
        output: ['y'],
        opsetImport: [opset('', 18n)],
        node: [node('Add', ['x', 'x'], ['y'])],
      }),
    ],
  });
  edit(made);
  return toBinary(ModelProtoSchema, made);
}

test('calls give way to nodes, with names of their own, attributes of the call and defaults', async () => {
  const graph = readOnnx(model(), 'functions.onnx');
  expect(graph.nodes.map(({ opType }) => opType)).toEqual(['Add', 'Softmax', 'Add', 'Softmax', 'Add']);
  expect(
    graph.nodes.filter(({ opType }) => opType === 'Softmax').map(({ attributes }) => attributes.axis),
  ).toEqual([
    { kind: 'int', value: -1 },
    { kind: 'int', value: 0 },
  ]);
  expect(new Set(graph.nodes.flatMap(({ outputs }) => outputs)).size).toBe(5);
  const x = { dtype: 'float32' as const, dims: [3], data: Float32Array.of(1, 2, 4) };
  const [inlined, whole] = await Promise.all(
    [writeOnnx(graph), model()].map(async (bytes) => {
      const session = await createOrtSession(bytes);
      return session.run({ x }).finally(() => session.close());
    }),
  );
  expect(inlined?.y?.data).toEqual(whole?.y?.data);
});

test('what cannot be understood is refused with the function’s name', () => {
  const another = model(({ functions }) => {
    functions[1]!.opsetImport = [opset('', 21n)];
  });
  expect(() => readOnnx(another, 'm.onnx')).toThrow(
    'the function Twice is written for opset 21 of ai.onnx, the model for 18',
  );
  const circle = model(({ functions }) => {
    functions[1]!.node = [node('Scaled', ['x'], ['y'], own)];
  });
  expect(() => readOnnx(circle, 'm.onnx')).toThrow(/the function (Scaled|Twice) calls itself/);
});
