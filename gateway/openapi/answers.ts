/** What the gateway answers with, as schemas: the source of the OpenAPI document, held to real answers by its tests. */
import { z } from 'zod';
import { keySettingsSchema } from '../../schema/key-settings.ts';
import { qualitySchema } from '../../schema/manifest.ts';
import { nodeReportSchema } from '../../schema/node-report.ts';
import { operatorRoleSchema } from '../../schema/operator-role.ts';
import { inferResponseSchema, modelMetadataSchema } from '../../schema/protocol.ts';

const timeMs = z.int().nonnegative();
/** `before` of the next page; null where there is none. */
const nextNumber = z.int().nullable();
const nextId = z.string().nullable();

export const problemSchema = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.int().min(400).max(599),
  detail: z.string(),
  error: z.string(),
  code: z.string(),
  hint: z.string().optional(),
});

export const problemPageSchema = z.strictObject({
  type: z.string(),
  code: z.string(),
  title: z.string(),
  status: z.int(),
  meaning: z.string(),
});

const levelViewSchema = z.looseObject({
  level: z.int().nonnegative(),
  sparsity: z.number(),
  relativeFlops: z.number(),
  relativeParams: z.number(),
  params: z.number(),
  flops: z.number(),
  quality: qualitySchema,
  predictedMs: z.number().nullable(),
});

export const modelViewSchema = modelMetadataSchema.extend({
  artifactVersion: z.string(),
  task: z.string(),
  labels: z.array(z.string()).optional(),
  levels: z.array(levelViewSchema),
});

export const operatorModelsSchema = z.strictObject({
  models: z.array(
    modelViewSchema.extend({
      levels: z.array(levelViewSchema.extend({ costNanoUsd: z.int().nonnegative().nullable() })),
    }),
  ),
});

export const serverViewSchema = z.strictObject({
  name: z.string(),
  version: z.string(),
  extensions: z.array(z.string()),
});

export const liveSchema = z.strictObject({ live: z.boolean() });
export const readySchema = z.strictObject({ ready: z.boolean() });
export const modelReadySchema = z.strictObject({
  name: z.string(),
  version: z.string().optional(),
  ready: z.boolean(),
});

export const inferAnswerSchema = inferResponseSchema;

const secretsBefore = {
  /** Until when the secret before the last rotation is good beside the new one; null where there was none. */
  previousUntilMs: timeMs.nullable(),
  /** The same of secrets before that one. */
  earlierUntilMs: z.array(timeMs),
};

export const keyViewSchema = keySettingsSchema.extend({
  id: z.string(),
  prefix: z.string(),
  createdAtMs: timeMs,
  expiresAtMs: timeMs.nullable(),
  revokedAtMs: timeMs.nullable(),
  ...secretsBefore,
});
export const newKeyViewSchema = keyViewSchema.extend({ key: z.string() });
export const keysSchema = z.strictObject({ keys: z.array(keyViewSchema), next: nextId });

const ledgerViewSchema = z.strictObject({
  limit: z.number(),
  spent: z.number(),
  leased: z.number(),
  inDoubt: z.number(),
  remaining: z.number(),
  endsAtMs: timeMs.nullable(),
});
export const limitsSchema = z.strictObject({
  budget: ledgerViewSchema.nullable(),
  rateLimit: ledgerViewSchema.nullable(),
});

const operatorTokenViewSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  role: operatorRoleSchema,
  prefix: z.string(),
  createdAtMs: timeMs,
  expiresAtMs: timeMs.nullable(),
  revokedAtMs: timeMs.nullable(),
  ...secretsBefore,
});
export const newOperatorTokenViewSchema = operatorTokenViewSchema.extend({ token: z.string() });
export const operatorTokensSchema = z.strictObject({
  tokens: z.array(operatorTokenViewSchema),
  next: nextId,
});

export const policyVersionsSchema = z.strictObject({
  versions: z.array(
    z.strictObject({
      version: z.int().nonnegative(),
      createdAtMs: timeMs.nullable(),
      createdBy: z.string().nullable(),
      rollbackTo: z.int().nonnegative().nullable(),
    }),
  ),
  next: nextNumber,
});

const findingSchema = z.strictObject({ path: z.string(), message: z.string() });
const changeSchema = z.strictObject({
  path: z.string(),
  from: z.unknown().optional(),
  to: z.unknown().optional(),
});
export const validationSchema = z.strictObject({
  valid: z.literal(true),
  warnings: z.array(findingSchema),
  against: z.int().nonnegative(),
  changes: z.array(changeSchema),
});

const replayedSchema = z.strictObject({
  outcome: z.enum(['served', 'no-node', 'shed', 'forbidden', 'class', 'bounds', 'cost', 'latency']),
  level: z.int().nullable(),
  node: z.string().nullable(),
  quality: z.number().nullable(),
  costNanoUsd: z.number(),
  attainment: z.number(),
});
const summarySchema = z.strictObject({
  levels: z.record(z.string(), z.record(z.string(), z.number())),
  served: z.number(),
  refused: z.record(z.string(), z.number()),
  attainment: z.number(),
  meanQuality: z.number().nullable(),
  meanCostNanoUsd: z.number().nullable(),
  totalCostNanoUsd: z.number(),
});
export const dryRunSchema = z.strictObject({
  against: z.int().nonnegative(),
  warnings: z.array(findingSchema),
  decisions: z.int().nonnegative(),
  requests: z.number(),
  before: summarySchema,
  after: summarySchema,
  changedShare: z.number(),
  changed: z.array(
    z.strictObject({
      requestId: z.string(),
      atMs: timeMs,
      model: z.string(),
      weight: z.number(),
      before: replayedSchema,
      after: replayedSchema,
    }),
  ),
});

const decisionSchema = z.strictObject({
  id: z.int(),
  atMs: timeMs,
  requestId: z.string(),
  model: z.string(),
  keyId: z.string().nullable(),
  slaClass: z.string().nullable(),
  policyVersion: z.int(),
  status: z.int(),
  weight: z.number(),
  record: z.looseObject({
    rules: z.looseObject({ budgetMs: z.number() }),
    outcome: z.looseObject({
      status: z.int(),
      level: z.int().nullable(),
      totalMs: z.number(),
      costNanoUsd: z.number(),
      attempts: z.array(z.string()),
    }),
  }),
});
export const decisionsSchema = z.strictObject({
  decisions: z.array(decisionSchema),
  next: nextNumber,
});
export const decisionsOfRequestSchema = z.strictObject({ decisions: z.array(decisionSchema) });

export const auditSchema = z.strictObject({
  entries: z.array(
    z.strictObject({
      id: z.int(),
      atMs: timeMs,
      actor: z.string(),
      action: z.string(),
      target: z.string(),
      detail: z.record(z.string(), z.unknown()),
    }),
  ),
  next: nextNumber,
});

export const nodeRegistrationSchema = z.strictObject({
  name: z.string(),
  url: z.string(),
  nodeClass: z.string(),
  draining: z.boolean(),
  createdAtMs: timeMs,
  /** Null before the first heartbeat. */
  heardAtMs: timeMs.nullable(),
  ...secretsBefore,
});
export const newNodeRegistrationSchema = nodeRegistrationSchema.extend({ token: z.string() });

const timeQuantilesSchema = z.looseObject({ p50Ms: z.number(), p95Ms: z.number(), p99Ms: z.number() });

const reportedModel = nodeReportSchema.shape.models.element;
/** A report whose profiles may have been left out. */
const shownReportSchema = nodeReportSchema.extend({
  models: z.array(
    reportedModel.extend({
      levels: z.array(reportedModel.shape.levels.element.partial({ profiles: true })),
    }),
  ),
});

export const nodesSchema = z.looseObject({
  nodes: z.array(
    z.looseObject({
      name: z.string(),
      url: z.string(),
      nodeClass: z.string(),
      usable: z.boolean(),
      reason: z.string().nullable(),
      breaker: z.enum(['closed', 'open', 'half-open']),
      reportAgeMs: z.number().nullable(),
      inFlightHere: z.int().nonnegative(),
      networkMs: timeQuantilesSchema.nullable(),
      report: shownReportSchema.nullable(),
    }),
  ),
  registered: z.array(nodeRegistrationSchema),
  next: nextId,
});

export const artifactIndexSchema = z.strictObject({
  model: z.string(),
  active: z.string().nullable(),
  versions: z.array(
    z.strictObject({
      version: z.string(),
      createdAtMs: timeMs,
      bytes: z.int().nonnegative(),
      manifestSha256: z.string(),
    }),
  ),
  next: nextNumber,
});

export const uploadsSchema = z.strictObject({
  uploads: z.array(
    z.strictObject({
      model: z.string(),
      version: z.string(),
      files: z.int().positive(),
      bytes: z.int().nonnegative(),
      /** Whether there may be more of both: a request counts up to 10,000 files. */
      isLeast: z.boolean(),
      lastWrittenAtMs: timeMs,
    }),
  ),
  /** `before` of the next page: `model/version`, or a place among files that are no version's. */
  next: nextId,
});

export const artifactFileAnswerSchema = z.strictObject({
  model: z.string(),
  version: z.string(),
  file: z.string(),
  bytes: z.int().nonnegative(),
  sha256: z.string(),
});
export const activationSchema = z.strictObject({
  model: z.string(),
  active: z.string(),
  changed: z.boolean(),
});
