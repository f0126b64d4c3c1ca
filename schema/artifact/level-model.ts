/** Builds one level of a path artifact as a complete ONNX model. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, type TensorProto, TensorProto_DataLocation } from 'onnx-buf';
import { SppError } from '../errors.ts';
import type { Manifest, ManifestLevel, ManifestTensor } from '../manifest.ts';
import { decodeTensor, levelDims, type WidthsByLevel } from './layout.ts';

/** The level's entry. @throws `unknown-level` */
export function levelOf(manifest: Manifest, level: number): ManifestLevel {
  const entry = manifest.levels[level];
  if (entry === undefined) {
    throw new SppError('unknown-level', `${manifest.model.id} has no level ${level}.`, {
      hint: `Its levels are 0 (sparsest) to ${manifest.levels.length - 1} (dense).`,
    });
  }
  return entry;
}

/**
 * The weight files a level is made of: the chunks of the levels up to it as far as they hold what it does not own, and what is its own.
 * The graph is not among them.
 */
export function filesOfLevel(manifest: Manifest, level: number): string[] {
  const { own } = levelOf(manifest, level);
  const owned = new Set(own?.extents.map(({ tensor }) => tensor));
  const chunks = manifest.levels
    .slice(0, level + 1)
    .filter(({ extents }) => extents.some(({ tensor }) => !owned.has(tensor)))
    .map(({ chunk }) => chunk);
  return own === undefined ? chunks : [...chunks, own.path];
}

/** Tensors that every level has values of its own of: they are in no chunk. */
export function ownedByAll(levels: readonly (readonly string[])[]): Set<string> {
  const [first = [], ...others] = levels;
  const sets = others.map((names) => new Set(names));
  return new Set(first.filter((name) => sets.every((names) => names.has(name))));
}

/**
 * A level as one ONNX file with its weights inside.
 * @param graph bytes of the artifact's graph.onnx
 * @param files bytes of at least `filesOfLevel(manifest, level)`
 * @throws `bad-artifact` when a file or a tensor in it is missing or has the wrong size
 */
export function assembleLevel(
  manifest: Manifest,
  graph: Uint8Array,
  level: number,
  files: ReadonlyMap<string, Uint8Array>,
): Uint8Array<ArrayBuffer> {
  const { widths } = levelOf(manifest, level);
  const model = fromBinary(ModelProtoSchema, graph);
  const initializers = new Map((model.graph?.initializer ?? []).map((tensor) => [tensor.name, tensor]));
  for (const tensor of manifest.tensors) {
    const target = named(initializers, tensor.name);
    target.dims = levelDims(tensor, widths).map(BigInt);
    target.rawData = toBytes(levelTensor(manifest, tensor, level, files));
    target.floatData = [];
    target.externalData = [];
    target.dataLocation = TensorProto_DataLocation.DEFAULT;
  }
  setShapeConstants(manifest, initializers, widths);
  return Uint8Array.from(toBinary(ModelProtoSchema, create(ModelProtoSchema, model)));
}

/**
 * Sets what of the graph's shapes depends on a level's widths.
 * @throws `bad-artifact` when the graph lacks an initializer or an element of it
 */
export function setShapeConstants(
  manifest: Manifest,
  initializers: ReadonlyMap<string, TensorProto>,
  widths: readonly number[],
): void {
  for (const constant of manifest.shapeConstants) {
    const target = named(initializers, constant.tensor);
    const width = widths[constant.pair];
    if (width === undefined || (constant.index + 1) * 8 > target.rawData.length) {
      throw new SppError(
        'bad-artifact',
        `The shape constant ${constant.tensor}[${constant.index}] does not fit the graph.`,
      );
    }
    const raw = Uint8Array.from(target.rawData);
    new DataView(raw.buffer).setBigInt64(constant.index * 8, BigInt(constant.factor * width), true);
    target.rawData = raw;
  }
}

/** Values of one tensor at one level. */
export function levelTensor(
  manifest: Manifest,
  tensor: ManifestTensor,
  level: number,
  files: ReadonlyMap<string, Uint8Array>,
): Float32Array {
  const { own, widths } = levelOf(manifest, level);
  const extent = own?.extents.find((candidate) => candidate.tensor === tensor.name);
  if (own !== undefined && extent !== undefined) {
    const data = floatsAt(files, own.path, extent);
    const want = levelDims(tensor, widths).reduce((a, b) => a * b, 1);
    if (data.length !== want) {
      throw new SppError(
        'bad-artifact',
        `${own.path} holds ${data.length} elements of ${tensor.name} where ${want} belong.`,
      );
    }
    return data;
  }
  const parts = manifest.levels.slice(0, level + 1).map((entry) => {
    const part = entry.extents.find((candidate) => candidate.tensor === tensor.name);
    return part === undefined ? new Float32Array(0) : floatsAt(files, entry.chunk, part);
  });
  const allWidths: WidthsByLevel = manifest.levels.map((entry) => entry.widths);
  return decodeTensor(tensor, allWidths, level, parts);
}

function floatsAt(
  files: ReadonlyMap<string, Uint8Array>,
  path: string,
  extent: { tensor: string; offset: number; bytes: number },
): Float32Array {
  const file = files.get(path);
  if (file === undefined) throw new SppError('bad-artifact', `${path} is needed and was not given.`);
  if (extent.offset + extent.bytes > file.length || extent.bytes % 4 !== 0) {
    throw new SppError('bad-artifact', `${path} ends before ${extent.tensor} does.`);
  }
  return new Float32Array(Uint8Array.from(file.subarray(extent.offset, extent.offset + extent.bytes)).buffer);
}

function toBytes(data: Float32Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function named(initializers: ReadonlyMap<string, TensorProto>, name: string): TensorProto {
  const tensor = initializers.get(name);
  if (tensor === undefined)
    throw new SppError('bad-artifact', `The graph has no initializer ${name}, which the manifest names.`);
  return tensor;
}
