/**
 * Stand-ins for weights that lie in files: random numbers out of one small file. What is claimed of a graph's structure (that two
 * graphs compute the same, that masking equals cutting) can be held to any weights, and these take hardly any memory or reading.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolder } from '../runtime/scratch-folder.ts';
import { deferredTensor, derivedTensor, isDeferred, originOf, tensorCache } from './deferred.ts';
import { fingerprint } from './fingerprint.ts';
import { elementCount, type Graph, type Tensor } from './graph.ts';
import { readRange } from './onnx-load.ts';

/** After so many numbers they repeat. A prime: no two rows of a matrix fall on the same ones. */
const PERIOD = 1_000_003;
/** As transformers are initialised: activations stay in range in matrices of all usual sizes. */
const DEVIATION = 0.02;
/** Places where tensors begin. Few, as each is mapped by itself; several, so that a matrix is seldom taken for another one. */
const PLACES = 3;
/** Mapped pages begin so. */
const PLACE_BYTES = 4096;
const FILE = 'stand-ins.bin';

/** @returns the same graph with stand-ins; undefined where nothing lies in files. Equal tensors get equal ones. */
export type StandIns = (graph: Graph) => Graph;

/** @param graph the file's own graph, whose largest weight the stand-ins must cover; undefined where it holds all its weights */
export function standIns(graph: Graph): StandIns | undefined {
  const large = [...graph.initializers.values()].filter(isDeferred);
  if (large.length === 0) return undefined;
  const largest = Math.max(...large.map(({ dims }) => 4 * elementCount(dims)));
  const folder = scratchFolder();
  writeNoise(join(folder, FILE), largest + PLACES * PLACE_BYTES);
  const cache = tensorCache(largest);
  const known = new WeakMap<Tensor, Tensor>();
  const standIn = (tensor: Tensor): Tensor => {
    if (!isDeferred(tensor) || tensor.dtype !== 'float32') return tensor;
    const origin = originOf(tensor);
    const made =
      known.get(tensor) ??
      (origin
        ? derivedTensor(standIn(origin.from), tensor.dims, origin.make, origin.derivation)
        : noise(tensor, folder, cache));
    known.set(tensor, made);
    return made;
  };
  return (other) => ({
    ...other,
    initializers: new Map([...other.initializers].map(([name, tensor]) => [name, standIn(tensor)])),
  });
}

function noise(tensor: Tensor, folder: string, cache: ReturnType<typeof tensorCache>): Tensor {
  const bytes = 4 * elementCount(tensor.dims);
  const digest = createHash('sha256').update(fingerprint(tensor)).digest();
  const offset = PLACE_BYTES * (digest.readUInt32LE() % PLACES);
  const read = () => new Float32Array(readRange(join(folder, FILE), offset, bytes).buffer as ArrayBuffer);
  return deferredTensor('float32', tensor.dims, read, cache, {
    place: { folder, file: FILE, offset, bytes },
  });
}

function writeNoise(path: string, bytes: number): void {
  const block = new Uint8Array(gaussian(PERIOD).buffer);
  const file = openSync(path, 'w');
  try {
    for (let done = 0; done < bytes; done += block.length)
      writeSync(file, block, 0, Math.min(block.length, bytes - done), done);
  } finally {
    closeSync(file);
  }
}

/** Sums of uniform numbers from a linear congruential generator: near enough to normal, and the same at each run. */
function gaussian(count: number): Float32Array {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  // Three uniform numbers of variance 1/12 each.
  return Float32Array.from({ length: count }, () => 2 * DEVIATION * (uniform() + uniform() + uniform()));
}
