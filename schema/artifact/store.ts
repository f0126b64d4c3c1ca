/** Reading an artifact from a directory or over HTTP; no byte leaves here before its sha256 has been checked. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pRetry, { AbortError } from 'p-retry';
import { z } from 'zod';
import { SppError } from '../errors.ts';
import { MANIFEST_FILE, type Manifest, manifestSchema } from '../manifest.ts';

export interface Artifact {
  readonly location: string;
  readonly manifest: Manifest;
  /** Bytes of a file the manifest lists, checked. @throws `bad-artifact` naming the file, `unknown-artifact` when it is gone */
  read(path: string): Promise<Uint8Array>;
}

export interface OpenOptions {
  /** Bearer token for an HTTP location. */
  token?: string;
  signal?: AbortSignal;
}

const REQUEST_TIMEOUT_MS = 60_000;

/**
 * Opens `location`, a directory or an http(s) URL under which the artifact's files lie.
 * @throws `unknown-artifact` when there is no manifest, `bad-artifact` when it is not valid
 */
export async function openArtifact(location: string, options: OpenOptions = {}): Promise<Artifact> {
  const fetchFile = /^https?:\/\//.test(location) ? httpReader(location, options) : directoryReader(location);
  const manifest = parseManifest(await fetchFile(MANIFEST_FILE), location);
  const entries = new Map(manifest.files.map((file) => [file.path, file]));
  return {
    location,
    manifest,
    async read(path) {
      const entry = entries.get(path);
      if (entry === undefined)
        throw new SppError('unknown-artifact', `The manifest of ${location} lists no file ${path}.`);
      const bytes = await fetchFile(path);
      verifyFile(bytes, entry);
      return bytes;
    },
  };
}

/** @throws `bad-artifact` when length or sha256 differ from the manifest's */
export function verifyFile(bytes: Uint8Array, entry: { path: string; bytes: number; sha256: string }): void {
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

/** @throws `bad-artifact` with the first faults of the document */
export function parseManifest(bytes: Uint8Array, location: string): Manifest {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new SppError('bad-artifact', `The manifest of ${location} is not JSON.`, { cause });
  }
  const parsed = manifestSchema.safeParse(document);
  if (!parsed.success) {
    throw new SppError(
      'bad-artifact',
      `The manifest of ${location} is not valid: ${z.prettifyError(parsed.error).slice(0, 600)}`,
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

function httpReader(base: string, options: OpenOptions): (path: string) => Promise<Uint8Array> {
  const headers = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
  const attempt = async (path: string): Promise<Uint8Array> => {
    const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
    const response = await fetch(`${base.replace(/\/$/, '')}/${path}`, { headers, signal });
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    await response.body?.cancel();
    if (response.status >= 500 || response.status === 429)
      throw new Error(`${path} at ${base} answered ${response.status}`);
    const code =
      response.status === 404
        ? 'unknown-artifact'
        : response.status === 401 || response.status === 403
          ? 'unauthorized'
          : 'bad-artifact';
    throw new AbortError(new SppError(code, `${path} at ${base} answered ${response.status}.`));
  };
  return async (path) => {
    try {
      return await pRetry(() => attempt(path), {
        retries: 4,
        minTimeout: 100,
        maxTimeout: 2000,
        ...(options.signal ? { signal: options.signal } : {}),
      });
    } catch (cause) {
      if (cause instanceof SppError) throw cause;
      throw new SppError('not-ready', `${path} could not be read from ${base}.`, { cause, retryAfterS: 2 });
    }
  };
}
