/**
 * A graph as onnxruntime's sessions take it. Weights that lie in files are named, not copied: onnxruntime maps them. What is held in
 * memory goes along in the protobuf, which cannot exceed 2 GB; beyond, all weights are written to a temporary file first.
 */
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { StringStringEntryProtoSchema, type TensorProto, TensorProto_DataLocation } from 'onnx-buf';
import type { OrtModel } from '../runtime/ort-session.ts';
import { discardFolder, scratchFolder } from '../runtime/scratch-folder.ts';
import { canBeKept, type FilePlace, keptPlaceOf, placeOf } from './deferred.ts';
import { elementCount, type Graph, type Tensor } from './graph.ts';
import { writeAt } from './kept-tensors.ts';
import { writeOnnx } from './onnx-file.ts';
import { writeTensor } from './onnx-tensor.ts';
import { canBeLinked, weightFolder } from './weight-folder.ts';

/** What the protobuf may hold of weights. */
const INLINE_BYTES = 1.5 * 2 ** 30;
/** Smaller tensors are never put into a file: shapes and axes must be there when the graph is loaded. */
const SMALL_BYTES = 2 ** 12;
/** Pages are mapped whole. */
const ALIGNMENT = 4096;
const FILE = 'weights.bin';

const elementBytes = { float32: 4, float64: 8, int64: 8, int32: 4, uint8: 1, bool: 1 } as const;

const bytesOf = ({ dtype, dims }: Tensor) => elementCount(dims) * elementBytes[dtype];

/**
 * @param exposed values to make outputs too
 * @param inlineBytes what the protobuf may hold of weights
 */
export function ortModel(
  graph: Graph,
  exposed: readonly string[] = [],
  inlineBytes: number = INLINE_BYTES,
): OrtModel {
  const tensors = [...graph.initializers.values()];
  const own = tensors.flatMap((tensor) => placeOf(tensor) ?? []);
  const placeFor = tensors.some(canBeKept) && canBeLinked(own) ? keptPlaceOf : placeOf;
  const folder = weightFolder(tensors.flatMap((tensor) => placeFor(tensor) ?? []));
  const placed = (tensor: Tensor): FilePlace | undefined => {
    const place = placeFor(tensor);
    const file = place && folder?.nameOf(place);
    return file === undefined ? undefined : { ...(place as FilePlace), file };
  };
  const held = tensors.reduce((sum, tensor) => sum + (placed(tensor) ? 0 : bytesOf(tensor)), 0);
  if (held > inlineBytes) return spilled(graph, exposed);
  const bytes = writeOnnx(graph, {
    exposed,
    initializer(name, tensor) {
      const place = placed(tensor);
      return place ? pointer(name, tensor, place) : writeTensor(name, tensor);
    },
  });
  return folder === undefined ? { bytes } : { bytes, weightsFolder: folder.folder };
}

/** A temporary file of weights, for as long as a model names it. */
interface Spill {
  /** Of what was written. */
  readonly offsets: WeakMap<Tensor, number>;
  end: number;
  models: number;
}
/** By folder. */
const spills = new Map<string, Spill>();

/** Tells that no session needs the model any more: the temporary file that its weights were written to goes with the last model in it. */
export function discardModel({ weightsFolder = '' }: OrtModel): void {
  const spill = spills.get(weightsFolder);
  if (spill === undefined || --spill.models > 0) return;
  spills.delete(weightsFolder);
  discardFolder(weightsFolder);
}

/** All weights in one file of a temporary folder, the one that already holds most of them where there is such a one. */
function spilled(graph: Graph, exposed: readonly string[]): OrtModel {
  const tensors = [...graph.initializers.values()].filter((tensor) => bytesOf(tensor) >= SMALL_BYTES);
  const folder = sharedFolder(tensors) ?? scratchFolder();
  const spill = spills.get(folder) ?? { offsets: new WeakMap(), end: 0, models: 0 };
  const file = openSync(join(folder, FILE), spill.end === 0 ? 'w' : 'r+');
  const offsetOf = (tensor: Tensor): number => {
    const known = spill.offsets.get(tensor);
    if (known !== undefined) return known;
    const offset = Math.ceil(spill.end / ALIGNMENT) * ALIGNMENT;
    writeAt(file, tensor.data, offset);
    spill.offsets.set(tensor, offset);
    spill.end = offset + bytesOf(tensor);
    return offset;
  };
  try {
    const bytes = writeOnnx(graph, {
      exposed,
      initializer(name, tensor) {
        const size = bytesOf(tensor);
        if (size < SMALL_BYTES) return writeTensor(name, tensor);
        return pointer(name, tensor, { folder, file: FILE, offset: offsetOf(tensor), bytes: size });
      },
    });
    spills.set(folder, spill);
    spill.models += 1;
    return { bytes, weightsFolder: folder };
  } finally {
    closeSync(file);
  }
}

/** Two models of the same weights map the same pages: an engine's gradients of two losses, for one. */
function sharedFolder(tensors: readonly Tensor[]): string | undefined {
  const all = tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  for (const [folder, { offsets }] of spills) {
    const there = tensors.reduce((sum, tensor) => sum + (offsets.has(tensor) ? bytesOf(tensor) : 0), 0);
    if (there > all / 2) return folder;
  }
  return undefined;
}

function pointer(name: string, tensor: Tensor, { file, offset, bytes }: FilePlace): TensorProto {
  const entry = (key: string, value: string) => create(StringStringEntryProtoSchema, { key, value });
  const { dtype, dims } = tensor;
  return {
    ...writeTensor(name, { dtype, dims, data: new Uint8Array(0) }),
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: [entry('location', file), entry('offset', String(offset)), entry('length', String(bytes))],
  };
}
