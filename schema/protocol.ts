/** Bodies of the Open Inference Protocol v2 (REST), and the datatypes it names. Binary tensors: `binary-tensors.ts`. */
import { z } from 'zod';

/** Bytes an element takes; null where elements have no fixed size. */
export const datatypes = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: null,
} as const satisfies Record<string, number | null>;

export type Datatype = keyof typeof datatypes;
export const datatypeSchema = z.enum(Object.keys(datatypes) as [Datatype, ...Datatype[]]);

const parametersSchema = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));
/** The protocol allows tensors flattened or nested; elements are checked against the datatype when they are packed. */
const dataSchema = z.array(z.unknown());

const inferTensorSchema = z.looseObject({
  name: z.string().min(1),
  shape: z.array(z.int().nonnegative()).max(16),
  datatype: datatypeSchema,
  parameters: parametersSchema.optional(),
  /** Absent where the elements follow the JSON object as binary data. */
  data: dataSchema.optional(),
});

export const inferRequestSchema = z.looseObject({
  id: z.string().max(256).optional(),
  parameters: parametersSchema.optional(),
  inputs: z.array(inferTensorSchema).min(1).max(64),
  outputs: z
    .array(z.looseObject({ name: z.string().min(1), parameters: parametersSchema.optional() }))
    .max(64)
    .optional(),
});

/**
 * A parsed body without members that are null, its own and those of its tensors: serialisers of some languages write so what was
 * left out. Elements of tensors stay as they are.
 */
export function withoutNulls(body: unknown): unknown {
  if (!isObject(body)) return body;
  const tensors = ['inputs', 'outputs'].flatMap((list) =>
    Array.isArray(body[list]) ? [[list, body[list].map(present)] as const] : [],
  );
  return { ...present(body), ...Object.fromEntries(tensors) };
}

function present<T>(value: T): T | Record<string, unknown> {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const inferResponseSchema = z.looseObject({
  model_name: z.string(),
  model_version: z.string().optional(),
  id: z.string().optional(),
  parameters: parametersSchema.optional(),
  outputs: z.array(
    z.looseObject({ name: z.string(), shape: z.array(z.int()), datatype: datatypeSchema, data: dataSchema }),
  ),
});

export const modelMetadataSchema = z.looseObject({
  name: z.string(),
  versions: z.array(z.string()).optional(),
  platform: z.string(),
  inputs: z.array(z.looseObject({ name: z.string(), datatype: datatypeSchema, shape: z.array(z.int()) })),
  outputs: z.array(z.looseObject({ name: z.string(), datatype: datatypeSchema, shape: z.array(z.int()) })),
});

export const serverMetadataSchema = z.looseObject({
  name: z.string(),
  version: z.string(),
  extensions: z.array(z.string()),
});

export type InferRequest = z.infer<typeof inferRequestSchema>;
export type InferTensor = z.infer<typeof inferTensorSchema>;
export type InferResponse = z.infer<typeof inferResponseSchema>;
export type ModelMetadata = z.infer<typeof modelMetadataSchema>;
