/**
 * Numbers below the least normal one (1.2e-38) take a core a hundred cycles each. Half the scores of a causal attention are such: the
 * softmax of what its mask leaves out. A forward pass of a small decoder takes a sixth longer for them, and no answer needs them.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, TensorProto_DataType, TypeProtoSchema, ValueInfoProtoSchema } from 'onnx-buf';

/** For `extra.session` of every session's options: its own threads compute so, too. */
export const FLUSH_SUBNORMALS = { set_denormal_as_zero: '1' } as const;

/** onnxruntime's `InferenceSession.create`. */
type CreateSession = (
  model: Uint8Array,
  options: { extra: { session: typeof FLUSH_SUBNORMALS } },
) => Promise<{ release(): Promise<void> }>;

/**
 * Takes subnormal numbers for zero in this thread and those that it starts from now on. onnxruntime does so for the thread that makes
 * the first session of a process, and threads begin as the one that starts them: so the main thread makes one, before its workers.
 */
export async function flushSubnormals(createSession: CreateSession): Promise<void> {
  const session = await createSession(oneNode(), { extra: { session: FLUSH_SUBNORMALS } });
  await session.release();
}

function oneNode(): Uint8Array {
  const value = (name: string) =>
    create(ValueInfoProtoSchema, {
      name,
      type: create(TypeProtoSchema, {
        value: { case: 'tensorType', value: { elemType: TensorProto_DataType.FLOAT } },
      }),
    });
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [{ domain: '', version: 17n }],
    graph: {
      name: 'nothing',
      node: [{ opType: 'Identity', input: ['x'], output: ['y'] }],
      input: [value('x')],
      output: [value('y')],
    },
  });
  return toBinary(ModelProtoSchema, model);
}
