/**
 * The artifact's table of contents. Written last by the trainer; read by the gateway (levels, qualities, latencies)
 * and by nodes (files, tensors). Every file of an artifact except the manifest itself is listed here with its sha256.
 */
import { z } from 'zod';
import { datatypeSchema } from './protocol.ts';

export const MANIFEST_FILE = 'manifest.json';

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'must be a lower-case hex sha256');
/** Model ids and versions become URL segments and object keys, so they are kept plain. */
export const modelIdSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be 1-64 of a-z, 0-9, dot, dash, underscore');
export const artifactVersionSchema = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/);
/** A flat name: artifacts have no folders, so no path can leave them. */
export const artifactFileSchema = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,127}$/);
const share = z.number().min(0).max(1);
const count = z.int().nonnegative();

const portSchema = z.strictObject({
  name: z.string().min(1),
  datatype: datatypeSchema,
  /** -1 stands for a dimension that each request chooses. */
  shape: z.array(z.int().min(-1)),
});

const pairKindSchema = z.enum(['query-key', 'value-projection', 'sequential', 'gated']);

const manifestPairSchema = z.strictObject({
  name: z.string().min(1),
  kind: pairKindSchema,
  heads: z.int().positive(),
  kvHeads: z.int().positive().optional(),
  /** Units of the dense model; what the search orders. */
  units: z.int().positive(),
  /** Multiply-add counted as two; for one input of the sizes the trainer measured with. */
  flopsPerUnit: z.number().nonnegative(),
  paramsPerUnit: count,
});

/** An axis that carries a pair's units: its length is `outer * units * inner`, unit index in the middle. */
const unitAxisSchema = z.strictObject({
  axis: count,
  pair: count,
  outer: z.int().positive(),
  inner: z.int().positive(),
});

/** A float32 initializer of graph.onnx. `dims` are the dense ones; a level has `outer * width * inner` along unit axes. */
const manifestTensorSchema = z.strictObject({
  name: z.string().min(1),
  dims: z.array(count),
  unitAxes: z.array(unitAxisSchema),
});

/** An element of an int64 initializer whose value is `factor * width of the pair` at every level. */
const shapeConstantSchema = z.strictObject({
  tensor: z.string().min(1),
  index: count,
  pair: count,
  factor: z.int().positive(),
});

/** Bytes of one tensor in a file. In a chunk: what this level adds over the level below (see artifact/layout.ts). */
const extentSchema = z.strictObject({ tensor: z.string().min(1), offset: count, bytes: count });

const artifactFileEntrySchema = z.strictObject({
  path: artifactFileSchema,
  bytes: count,
  sha256: sha256Schema,
});

export const latencyProfileSchema = z.strictObject({
  device: z.string().min(1),
  threads: z.int().positive(),
  batch: z.int().positive(),
  samples: z.int().positive(),
  p50Ms: z.number().positive(),
  p95Ms: z.number().positive(),
  p99Ms: z.number().positive(),
});

/** A mean with its 95 % confidence interval. */
const measuredSchema = z.strictObject({ value: z.number(), low: z.number(), high: z.number() });

/** What a metric is counted in. */
const unitSchema = z.enum(['share', 'nats', 'cosine', 'perplexity', 'share of variance']);

export const qualitySchema = measuredSchema.extend({
  /** What `value` is; higher is always better, so that levels can be compared without knowing it. */
  metric: z.string().min(1),
  unit: unitSchema.optional(),
  samples: z.int().positive(),
  /** Further metrics by name, for people; each says which way it is better. */
  details: z
    .record(
      z.string(),
      measuredSchema.extend({ unit: unitSchema.optional(), better: z.enum(['higher', 'lower']).optional() }),
    )
    .optional(),
});

const manifestLevelSchema = z.strictObject({
  level: count,
  /** Kept units, one entry a pair. */
  widths: z.array(count),
  params: count,
  flops: z.number().positive(),
  /** Of the dense model's FLOPs. */
  relativeFlops: share,
  relativeParams: share,
  /** 1 - relativeFlops. */
  sparsity: share,
  bytes: count,
  quality: qualitySchema,
  latency: z.array(latencyProfileSchema),
  /** `weights-*.bin` that this level adds to those of the level below. */
  chunk: artifactFileSchema,
  extents: z.array(extentSchema),
  /** Tensors whose values are this level's own (compensated output matrices and biases), whole, in `own.path`. */
  own: z.strictObject({ path: artifactFileSchema, extents: z.array(extentSchema) }).optional(),
});

const manifestObject = z.strictObject({
  formatVersion: z.literal(1),
  model: z.strictObject({ id: modelIdSchema, version: artifactVersionSchema, sourceSha256: sha256Schema }),
  createdAt: z.iso.datetime(),
  task: z.string().min(1),
  labels: z.array(z.string()).optional(),
  inputs: z.array(portSchema).min(1),
  outputs: z.array(portSchema).min(1),
  /** How raw data becomes an input, for people and clients; by input name. */
  preprocessing: z.record(
    z.string(),
    z.strictObject({ scale: z.number(), mean: z.array(z.number()), std: z.array(z.number()) }),
  ),
  graph: artifactFileSchema,
  pairs: z.array(manifestPairSchema).min(1),
  tensors: z.array(manifestTensorSchema),
  shapeConstants: z.array(shapeConstantSchema),
  levels: z.array(manifestLevelSchema).min(1),
  files: z.array(artifactFileEntrySchema).min(1),
  search: z.record(z.string(), z.unknown()),
  seed: z.int(),
  dataSha256: sha256Schema,
});

export const manifestSchema = manifestObject.superRefine((manifest, context) => {
  for (const message of [...levelFaults(manifest), ...unitFaults(manifest)])
    context.addIssue({ code: 'custom', message });
});

/** Of levels: they are steps of one path, of files that are there. */
function* levelFaults({ graph, pairs, levels, files }: z.infer<typeof manifestObject>): Generator<string> {
  const paths = new Set(files.map((file) => file.path));
  if (!paths.has(graph)) yield `graph ${graph} is not among the files`;
  for (const [index, { level, widths, chunk, own }] of levels.entries()) {
    if (level !== index) yield `level ${level} stands at place ${index}`;
    if (widths.length !== pairs.length)
      yield `level ${index} has ${widths.length} widths for ${pairs.length} pairs`;
    for (const [p, width] of widths.entries()) {
      const below = levels[index - 1]?.widths[p] ?? 0;
      const units = pairs[p]?.units ?? 0;
      if (width < below || width > units)
        yield `level ${index} keeps ${width} of ${units} units of pair ${p}, the level below ${below}`;
    }
    for (const path of own === undefined ? [chunk] : [chunk, own.path])
      if (!paths.has(path)) yield `level ${index} needs ${path}, which is not among the files`;
  }
}

/** Of what is cut to a level's widths: a node would find out only when it puts a level together, with the version in service already. */
function* unitFaults({ pairs, tensors, shapeConstants }: z.infer<typeof manifestObject>): Generator<string> {
  for (const { name, dims, unitAxes } of tensors)
    for (const { axis, pair, outer, inner } of unitAxes) {
      const units = pairs[pair]?.units;
      if (units === undefined) yield `tensor ${name} names pair ${pair} of ${pairs.length}`;
      else if (dims[axis] !== outer * units * inner)
        yield `axis ${axis} of tensor ${name} [${dims}] does not carry ${outer} x ${units} x ${inner} units`;
    }
  for (const { tensor, pair } of shapeConstants)
    if (pairs[pair] === undefined) yield `shape constant ${tensor} names pair ${pair} of ${pairs.length}`;
}

export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestLevel = z.infer<typeof manifestLevelSchema>;
export type ManifestTensor = z.infer<typeof manifestTensorSchema>;
export type ManifestPair = z.infer<typeof manifestPairSchema>;
export type UnitAxis = z.infer<typeof unitAxisSchema>;
export type LatencyProfile = z.infer<typeof latencyProfileSchema>;
export type Quality = z.infer<typeof qualitySchema>;
export type PairKind = z.infer<typeof pairKindSchema>;
export type Port = z.infer<typeof portSchema>;
