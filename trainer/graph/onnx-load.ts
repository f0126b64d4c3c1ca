/** The file side of `readOnnx`: a model by its path, with the data files that lie beside it. */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { basename, dirname, relative, resolve } from 'node:path';
import type { ModelProto } from 'onnx-buf';
import { SppError } from '../../schema/errors.ts';
import { tensorCache } from './deferred.ts';
import type { Graph } from './graph.ts';
import { keptTensors } from './kept-tensors.ts';
import { parseModel, readOnnx } from './onnx-file.ts';
import type { ExternalFiles } from './onnx-tensor.ts';

/** Larger model files keep their weights: each is read when it is used, and onnxruntime maps the file. */
const HELD_FILE_BYTES = 64 * 2 ** 20;
/** Of weights in files beside the model, what is held between uses. */
const CACHE_BYTES = 64 * 2 ** 20;

/**
 * @param heldFileBytes the weights of a file that is larger are left where they are
 * @throws `bad-model` when the file cannot be read or is not a usable model
 */
export function readOnnxFile(path: string, heldFileBytes: number = HELD_FILE_BYTES): Graph {
  const bytes = readWhole(path);
  const files = filesBeside(dirname(resolve(path)));
  if (bytes.byteLength > heldFileBytes) files.own = { file: basename(path), bytes };
  try {
    return readOnnx(bytes, basename(path), files);
  } finally {
    files.own = undefined;
  }
}

/**
 * The file's protobuf alone, whatever it holds, without data that lies beside it.
 * @throws `bad-model` when it cannot be read or is no ONNX file
 */
export function readModelFile(path: string): ModelProto {
  return parseModel(readWhole(path), basename(path));
}

function readWhole(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new SppError('bad-model', `The model file ${path} cannot be read: ${(cause as Error).message}.`, {
      hint: 'Check the path and its permissions.',
      cause,
    });
  }
}

function filesBeside(folder: string): ExternalFiles {
  return {
    folder,
    cache: tensorCache(CACHE_BYTES),
    read: (location, offset, length) => withFile(folder, location, (file) => readFrom(file, offset, length)),
    sizeOf: (location) => withFile(folder, location, (file) => fstatSync(file).size),
    keep: keptTensors(),
  };
}

function withFile<T>(folder: string, location: string, use: (file: number) => T): T {
  const path = resolve(folder, location);
  // A model file must not make us read outside its own folder.
  if (relative(folder, path).startsWith('..') || resolve(location) === location)
    throw new SppError('bad-model', `The model keeps data in ${location}, outside its own folder.`, {
      hint: 'Save the model again with its data beside it.',
    });
  try {
    const file = openSync(path, 'r');
    try {
      return use(file);
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw new SppError('bad-model', `The model's data file ${location} cannot be read.`, {
      hint: 'Keep the data file in the same folder as the model.',
      cause,
    });
  }
}

/** A part of a file that is ours; less where it ends. */
export function readRange(path: string, offset: number, length: number): Uint8Array {
  const file = openSync(path, 'r');
  try {
    return readFrom(file, offset, length);
  } finally {
    closeSync(file);
  }
}

/** One read takes at most 2 GB. */
const MOST_AT_ONCE = 2 ** 30;

function readFrom(file: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = readSync(file, bytes, done, Math.min(length - done, MOST_AT_ONCE), offset + done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}
