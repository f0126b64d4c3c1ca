/** A temporary file of tensors as they are in memory, for those that no file holds so: half floats that were widened, refitted matrices. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolder } from '../runtime/scratch-folder.ts';
import type { FilePlace } from './deferred.ts';
import type { TensorData } from './graph.ts';

/** Pages are mapped whole. */
const ALIGNMENT = 4096;
/** One write takes at most 2 GB. */
const MOST_AT_ONCE = 2 ** 30;
const FILE = 'tensors.bin';

/** @returns what adds a tensor to a file that is made with the first one; it does not outlive the process */
export function keptTensors(): (data: TensorData) => FilePlace {
  let folder: string | undefined;
  let end = 0;
  return (data) => {
    folder ??= scratchFolder();
    const offset = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    const file = openSync(join(folder, FILE), end === 0 ? 'w' : 'r+');
    try {
      writeAt(file, data, offset);
    } finally {
      closeSync(file);
    }
    end = offset + data.byteLength;
    return { folder, file: FILE, offset, bytes: data.byteLength };
  };
}

/** What was written there. */
export function readKept({ folder, file: name, offset, bytes }: FilePlace): Float32Array {
  const data = new Float32Array(bytes / Float32Array.BYTES_PER_ELEMENT);
  const into = new Uint8Array(data.buffer);
  const file = openSync(join(folder, name), 'r');
  try {
    for (let done = 0; done < bytes; )
      done += readSync(file, into, done, Math.min(bytes - done, MOST_AT_ONCE), offset + done);
  } finally {
    closeSync(file);
  }
  return data;
}

/** A whole tensor at a place in a file. */
export function writeAt(file: number, data: TensorData, offset: number): void {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (let done = 0; done < bytes.length; )
    done += writeSync(file, bytes, done, Math.min(bytes.length - done, MOST_AT_ONCE), offset + done);
}
