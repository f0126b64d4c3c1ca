/**
 * Rows of equal size, written once and read by index: in memory while they are few, in a temporary file beyond, so that
 * a data set may be larger than the memory. Reads are synchronous: what was just written lies in the system's cache.
 */
import { mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SppError } from '../../schema/errors.ts';

export interface Rows {
  readonly count: number;
  /** Neighbouring rows, back to back. The bytes may be the store's own: not to be written. */
  range(from: number, count: number): Uint8Array;
}

/** Bytes that one store keeps in memory. */
const KEPT_BYTES = 2 ** 28;
const WRITE_BYTES = 2 ** 20;

export class RowWriter {
  private readonly rowBytes: number;
  private readonly kept: number;
  private buffer = Buffer.alloc(1 << 12);
  private filled = 0;
  private file: { readonly descriptor: number; bytes: number } | undefined;

  /** @param kept bytes from which on rows go to a file */
  constructor(rowBytes: number, kept = KEPT_BYTES) {
    this.rowBytes = rowBytes;
    this.kept = kept;
  }

  /** Any number of bytes; together they are whole rows. */
  write(bytes: Uint8Array): void {
    if (this.file === undefined && this.filled + bytes.length > this.kept) this.spill();
    if (this.file !== undefined && this.filled + bytes.length > WRITE_BYTES) this.flush();
    if (this.file !== undefined && bytes.length > WRITE_BYTES) {
      this.toFile(bytes);
      return;
    }
    if (this.filled + bytes.length > this.buffer.length) {
      const wider = Buffer.alloc(Math.max(2 * this.buffer.length, this.filled + bytes.length));
      wider.set(this.buffer.subarray(0, this.filled));
      this.buffer = wider;
    }
    this.buffer.set(bytes, this.filled);
    this.filled += bytes.length;
  }

  /** Nothing may be written afterwards. */
  finish(): Rows {
    if (this.file === undefined) return memoryRows(this.buffer.subarray(0, this.filled), this.rowBytes);
    this.flush();
    return fileRows(this.file.descriptor, 0, this.file.bytes / this.rowBytes, this.rowBytes);
  }

  private spill(): void {
    const folder = mkdtempSync(join(tmpdir(), 'solution-path-'));
    const descriptor = openSync(join(folder, 'rows'), 'wx+', 0o600);
    // Without a name the file goes with the process, however that ends.
    rmSync(folder, { recursive: true });
    this.file = { descriptor, bytes: 0 };
    this.flush();
    this.buffer = Buffer.alloc(WRITE_BYTES);
  }

  private flush(): void {
    const whole = this.buffer.subarray(0, this.filled);
    this.filled = 0;
    this.toFile(whole);
  }

  private toFile(bytes: Uint8Array): void {
    if (this.file === undefined) return;
    for (let done = 0; done < bytes.length; ) done += writeSync(this.file.descriptor, bytes, done);
    this.file.bytes += bytes.length;
  }
}

export function memoryRows(bytes: Uint8Array, rowBytes: number): Rows {
  return {
    count: rowBytes === 0 ? 0 : bytes.length / rowBytes,
    range: (from, count) => bytes.subarray(from * rowBytes, (from + count) * rowBytes),
  };
}

/** Rows of an open file, which stays open as long as the process. */
export function fileRows(descriptor: number, offset: number, count: number, rowBytes: number): Rows {
  return {
    count,
    range(from, some) {
      const bytes = new Uint8Array(some * rowBytes);
      const start = offset + from * rowBytes;
      for (let done = 0; done < bytes.length; ) {
        const read = readSync(descriptor, bytes, done, bytes.length - done, start + done);
        if (read === 0) throw new SppError('bad-data', 'A data file became shorter while it was read.');
        done += read;
      }
      return bytes;
    },
  };
}

/** Some rows, in the order asked for; runs of neighbours are read at once. */
export function gather(rows: Rows, rowBytes: number, indices: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(indices.length * rowBytes);
  for (let i = 0; i < indices.length; ) {
    let run = 1;
    while (i + run < indices.length && indices[i + run] === (indices[i] as number) + run) run++;
    bytes.set(rows.range(indices[i] as number, run), i * rowBytes);
    i += run;
  }
  return bytes;
}
