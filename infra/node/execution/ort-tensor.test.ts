/** Every datatype that is served goes through onnxruntime and back with its bits as they were. */
import { create, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { InferenceSession } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { elementsOf } from '../../../schema/binary-tensors.ts';
import { type Datatype, datatypes } from '../../../schema/protocol.ts';
import { valueInfo } from '../../../test/support/onnx-parts.ts';
import { ortNames } from '../element-types.ts';
import { ortTensor, rawTensor } from './ort-tensor.ts';

/** ONNX's numbers of the types. */
const onnxTypes: Readonly<Record<Datatype, number | null>> = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: null,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
};
const served = (Object.keys(datatypes) as Datatype[]).filter((datatype) => ortNames[datatype] !== null);

test.each(served)('%s', async (datatype) => {
  const session = await InferenceSession.create(turned(onnxTypes[datatype] ?? 0));
  const bytes = Uint8Array.from({ length: 6 * (datatypes[datatype] ?? 0) }, (_, i) =>
    datatype === 'BOOL' ? i % 2 : 3 * i,
  );
  const given = elementsOf('x', datatype, 6, bytes);
  const { y } = await session.run({ x: ortTensor(String(ortNames[datatype]), given, [2, 3]) });
  const result = rawTensor('y', y!);
  expect(result).toMatchObject({ name: 'y', type: ortNames[datatype], dims: [3, 2] });
  expect([...result.data]).toEqual([0, 3, 1, 4, 2, 5].map((at) => given[at]));
});

/** y = x transposed. */
function turned(elemType: number): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [{ domain: '', version: 17n }],
      graph: {
        name: 'turned',
        node: [{ name: 'turn', opType: 'Transpose', input: ['x'], output: ['y'] }],
        input: [valueInfo('x', elemType, [2, 3])],
        output: [valueInfo('y', elemType, [3, 2])],
      },
    }),
  );
}
