/** Reading an artifact from a directory or over HTTP; no byte leaves here before its sha256 has been checked. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { SppError } from '../errors.ts';
import { MANIFEST_FILE, type Manifest, manifestSchema } from '../manifest.ts';
import { type HttpFilesOptions, httpFiles } from './http-files.ts';

export interface Artifact {
  readonly location: string;
  readonly manifest: Manifest;
  /**
   * Bytes of a file the manifest lists, checked. Over HTTP a read that breaks off goes on where it was.
   * @param keepIn a directory where what has come so far outlives this process
   * @throws `bad-artifact` naming the file, `unknown-artifact` when it is gone, `not-ready` when the server stays out of reach
   */
  read(path: string, keepIn?: string): Promise<Uint8Array>;
}

/**
 * Opens `location`, a directory or an http(s) URL under which the artifact's files lie.
 * @throws `unknown-artifact` when there is no manifest, `bad-artifact` when it is not valid
 */
export async function openArtifact(location: string, options: HttpFilesOptions = {}): Promise<Artifact> {
  const remote = isRemote(location) ? httpFiles(location, options) : undefined;
  const local = directoryReader(location);
  const manifest = parseManifest(await (remote?.read ?? local)(MANIFEST_FILE), location);
  const entries = new Map(manifest.files.map((file) => [file.path, file]));
  return {
    location,
    manifest,
    async read(path, keepIn) {
      const entry = entries.get(path);
      if (entry === undefined)
        throw new SppError('unknown-artifact', `The manifest of ${location} lists no file ${path}.`);
      if (remote === undefined) return verified(await local(path), entry);
      const isRight = (bytes: Uint8Array) => sha256Hex(bytes) === entry.sha256;
      const bytes = await remote.readSized(path, entry.bytes, keepIn, isRight);
      if (keepIn !== undefined) await remote.forget(path, keepIn);
      return verified(bytes, entry);
    },
  };
}

/** Whether a location is a URL and not a directory. */
export function isRemote(location: string): boolean {
  return /^https?:\/\//.test(location);
}

function verified(bytes: Uint8Array, entry: { path: string; bytes: number; sha256: string }): Uint8Array {
  verifyFile(bytes, entry);
  return bytes;
}

/** @throws `bad-artifact` when length or sha256 differ from the manifest's */
function verifyFile(bytes: Uint8Array, entry: { path: string; bytes: number; sha256: string }): void {
  if (bytes.length !== entry.bytes) {
    throw new SppError(
      'bad-artifact',
      `${entry.path} has ${bytes.length} bytes where the manifest says ${entry.bytes}.`,
      {
        hint: 'The file is damaged or was cut off; fetch or build it again.',
      },
    );
  }
  if (sha256Hex(bytes) !== entry.sha256) {
    throw new SppError('bad-artifact', `${entry.path} does not match its sha256.`, {
      hint: 'The file is damaged; fetch or build it again.',
    });
  }
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

const MANIFEST_HINT = 'The file is damaged, or of another version of this program; fetch or build it again.';

/** @throws `bad-artifact` with the first faults of the document */
function parseManifest(bytes: Uint8Array, location: string): Manifest {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new SppError('bad-artifact', `The manifest of ${location} is not JSON.`, {
      hint: MANIFEST_HINT,
      cause,
    });
  }
  const parsed = manifestSchema.safeParse(document);
  if (!parsed.success) {
    throw new SppError(
      'bad-artifact',
      `The manifest of ${location} is not valid: ${z.prettifyError(parsed.error).slice(0, 600)}`,
      { hint: MANIFEST_HINT },
    );
  }
  return parsed.data;
}

function directoryReader(directory: string): (path: string) => Promise<Uint8Array> {
  return async (path) => {
    try {
      return await readFile(join(directory, path));
    } catch (cause) {
      if (
        cause instanceof Error &&
        'code' in cause &&
        (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')
      ) {
        throw new SppError('unknown-artifact', `There is no ${path} in ${directory}.`, {
          hint:
            path === MANIFEST_FILE
              ? 'A build that has not finished leaves no manifest; resume it with --resume.'
              : 'Build the artifact again.',
          cause,
        });
      }
      throw cause;
    }
  };
}
