/**
 * Files over HTTP, read on where a connection broke off: by a range request from the byte that is missing, whether the
 * server failed, the line went dead, or this process did, if it kept what it had received.
 */
import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SppError } from '../errors.ts';
import { makeDirectory } from './make-directory.ts';

export interface HttpFilesOptions {
  /** Bearer token. */
  readonly token?: string;
  readonly signal?: AbortSignal;
  /** Of a file of unknown size. */
  readonly maxBytes?: number;
  /** A connection on which nothing comes for this long is given up and made anew; 10 s unless told. */
  readonly stallMs?: number;
}

export interface HttpFiles {
  /** A file of unknown size, up to `maxBytes`; 64 MiB unless told, many times the largest manifest. */
  read(path: string): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * A file of known size. Nothing else is checked of one that came in one answer.
   * @param keepIn a directory for what has been received, so that another process can go on from there; `forget` removes it
   * @param isRight asked of what was put together of several answers: where it is not, as the file was exchanged between them, it is read
   *   once more from its beginning
   */
  readSized(
    path: string,
    bytes: number,
    keepIn?: string,
    isRight?: (whole: Uint8Array) => boolean,
  ): Promise<Uint8Array<ArrayBuffer>>;
  forget(path: string, keepIn: string): Promise<void>;
}

/** Failures in a row, without a byte between them, after which a read is given up. */
const MOST_FAILURES = 5;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2000;
const STALL_MS = 10_000;
const MOST_UNKNOWN_BYTES = 64 * 2 ** 20;

export function httpFiles(base: string, options: HttpFilesOptions): HttpFiles {
  const root = base.replace(/\/$/, '');

  /** Asks for a file from a byte on, and hands on what comes. @returns the place at which it began */
  const attempt = async (
    path: string,
    from: number,
    begin: (at: number) => void,
    take: (part: Uint8Array) => Promise<void>,
  ): Promise<void> => {
    const stall = new AbortController();
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(
        () => stall.abort(new Error(`nothing came for ${options.stallMs ?? STALL_MS} ms`)),
        options.stallMs ?? STALL_MS,
      );
    };
    let timer: NodeJS.Timeout | undefined;
    alive();
    try {
      const response = await fetch(`${root}/${path}`, {
        headers: {
          // Ranges are of what is sent, so that has to be the file itself.
          'accept-encoding': 'identity',
          ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
          ...(from > 0 ? { range: `bytes=${from}-` } : {}),
        },
        signal: options.signal === undefined ? stall.signal : AbortSignal.any([stall.signal, options.signal]),
      });
      if (!response.ok) {
        await response.body?.cancel();
        // A file that is shorter by now, or another one: what it has is asked for anew, without a range.
        if (response.status !== 416 || from === 0) throw refusal(path, base, response.status);
        begin(0);
        throw new Error(`the server has nothing from byte ${from} on`);
      }
      const start = rangeStart(response);
      if (start !== 0 && start !== from) {
        await response.body?.cancel();
        begin(0);
        throw new Error(`the server did not send what stands from byte ${from} on`);
      }
      begin(start);
      for await (const part of response.body ?? []) {
        alive();
        await take(part);
      }
    } finally {
      clearTimeout(timer);
    }
  };

  /** Tries until `done`, as long as something comes. */
  const persist = async (path: string, progress: () => number, once: () => Promise<void>) => {
    let furthest = progress();
    for (let failures = 0; ; ) {
      try {
        return await once();
      } catch (error) {
        if (options.signal?.aborted || error instanceof SppError) throw error;
        failures = progress() > furthest ? 1 : failures + 1;
        furthest = Math.max(furthest, progress());
        if (failures >= MOST_FAILURES)
          throw new SppError('not-ready', `${path} could not be read from ${base}.`, {
            hint: 'See to it that the server runs and the address is right.',
            cause: error,
            retryAfterS: 2,
          });
        await sleep(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures), undefined, {
          ...(options.signal ? { signal: options.signal } : {}),
        });
      }
    }
  };

  /** @returns the file, and whether it is of several answers */
  const readOnce = async (path: string, bytes: number, keepIn: string | undefined) => {
    const whole = new Uint8Array(bytes);
    const kept = keepIn === undefined ? undefined : await openKept(keepIn, path, whole);
    let received = kept?.received ?? 0;
    let isPieced = received > 0;
    try {
      await persist(
        path,
        () => received,
        async () => {
          if (received < bytes)
            await attempt(
              path,
              received,
              (at) => {
                received = at;
                isPieced = at > 0;
              },
              async (part) => {
                if (received + part.length > bytes) throw tooLong(path, bytes);
                whole.set(part, received);
                await kept?.write(part, received);
                received += part.length;
              },
            );
          if (received < bytes) throw new Error(`${path} ended after ${received} of ${bytes} bytes`);
        },
      );
    } catch (error) {
      // What the server refuses to go on with is of no use to the next read either.
      if (error instanceof SppError && error.code !== 'not-ready' && keepIn !== undefined)
        await forget(path, keepIn);
      throw error;
    } finally {
      await kept?.close();
    }
    return { whole, isPieced };
  };

  return {
    async read(path) {
      const maxBytes = options.maxBytes ?? MOST_UNKNOWN_BYTES;
      let parts: Uint8Array[] = [];
      let received = 0;
      await persist(
        path,
        () => 0,
        () =>
          attempt(
            path,
            0,
            () => {
              [parts, received] = [[], 0];
            },
            async (part) => {
              received += part.length;
              if (received > maxBytes) throw endless(path, base, maxBytes);
              parts.push(part);
            },
          ),
      );
      return Uint8Array.from(Buffer.concat(parts));
    },

    async readSized(path, bytes, keepIn, isRight = () => true) {
      const { whole, isPieced } = await readOnce(path, bytes, keepIn);
      if (!isPieced || isRight(whole)) return whole;
      if (keepIn !== undefined) await forget(path, keepIn);
      return (await readOnce(path, bytes, keepIn)).whole;
    },

    forget,
  };
}

function forget(path: string, keepIn: string): Promise<void> {
  return rm(partialPath(keepIn, path), { force: true });
}

function refusal(path: string, base: string, status: number): Error {
  const message = `${path} at ${base} answered ${status}.`;
  if (status >= 500 || status === 429 || status === 408) return new Error(message);
  if (status === 404)
    return new SppError('unknown-artifact', message, {
      hint: 'A gateway has artifacts at /v1/artifacts/{model}, or .../{model}/{version} for one version.',
    });
  if (status === 401 || status === 403)
    return new SppError('unauthorized', message, {
      hint: 'Set NODE_TOKEN to the token that the gateway expects of nodes.',
    });
  return new SppError('bad-artifact', message);
}

/**
 * The byte with which an answer begins, as it says: a server that does not know ranges sends all of a file. NaN where it does not say, or
 * says it of the file as it is compressed.
 */
function rangeStart(response: Response): number {
  if (response.status !== 206) return 0;
  if ((response.headers.get('content-encoding') ?? 'identity') !== 'identity') return Number.NaN;
  return Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]);
}

function tooLong(path: string, bytes: number): SppError {
  return new SppError('bad-artifact', `${path} is longer than the ${bytes} bytes that the manifest says.`, {
    hint: 'The file is damaged; fetch or build it again.',
  });
}

function endless(path: string, base: string, bytes: number): SppError {
  return new SppError('bad-artifact', `${path} at ${base} is longer than ${bytes} bytes.`, {
    hint: 'No artifact has such a file; is the address one of an artifact?',
  });
}

function partialPath(directory: string, path: string): string {
  return join(directory, `${path}.partial`);
}

/** What an earlier read left, and where this one leaves what it receives; a disk that takes no more ends the keeping, not the read. */
async function openKept(directory: string, path: string, whole: Uint8Array) {
  let handle: FileHandle | undefined;
  let received = 0;
  try {
    await makeDirectory(directory, 0o700);
    const name = partialPath(directory, path);
    const left = await readFile(name).catch(() => new Uint8Array(0));
    if (left.length <= whole.length) {
      whole.set(left);
      received = left.length;
    }
    handle = await open(name, received > 0 ? 'r+' : 'w', 0o600);
  } catch {
    received = 0;
  }
  return {
    received,
    async write(part: Uint8Array, offset: number) {
      try {
        await handle?.write(part, 0, part.length, offset);
      } catch {
        await handle?.close().catch(() => {});
        handle = undefined;
      }
    },
    close: async () => handle?.close(),
  };
}
