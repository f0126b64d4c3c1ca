/** Reading over HTTP from a server that fails in every way it can, on 127.0.0.1. */
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { disposables, temporaryDirectory } from '../../test/support/node-client.ts';
import { type HttpFilesOptions, httpFiles } from './http-files.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const FILE = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) % 251);

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that answers each request with the next of `script`, and from its end on as it should. */
async function server(script: readonly Answer[], options: HttpFilesOptions = {}) {
  const ranges: (string | undefined)[] = [];
  const http = createServer((request, response) => {
    ranges.push(request.headers.range);
    (script[ranges.length - 1] ?? proper)(request, response);
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  scope.onDispose(async () => {
    http.closeAllConnections();
    http.close();
  });
  const { port } = http.address() as AddressInfo;
  return { files: httpFiles(`http://127.0.0.1:${port}`, { stallMs: 200, ...options }), ranges };
}

const startOf = (request: IncomingMessage) =>
  Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);

const proper: Answer = (request, response) => {
  const start = startOf(request);
  response.writeHead(start > 0 ? 206 : 200, {
    'content-length': FILE.length - start,
    ...(start > 0 ? { 'content-range': `bytes ${start}-${FILE.length - 1}/${FILE.length}` } : {}),
  });
  response.end(FILE.subarray(start));
};

/** Sends up to byte `end`, then breaks the connection, or says no more. */
const until =
  (end: number, then: 'break' | 'stall'): Answer =>
  (request, response) => {
    const start = startOf(request);
    response.writeHead(start > 0 ? 206 : 200, {
      'content-length': FILE.length - start,
      ...(start > 0 ? { 'content-range': `bytes ${start}-${FILE.length - 1}/${FILE.length}` } : {}),
    });
    response.write(FILE.subarray(start, end), () => {
      if (then === 'break') setTimeout(() => response.destroy(), 20);
    });
  };

const status =
  (code: number): Answer =>
  (_, response) =>
    response.writeHead(code).end();

const ignoresRanges: Answer = (_, response) => response.writeHead(200).end(FILE);

const rangeFrom =
  (start: number): Answer =>
  (_, response) =>
    response
      .writeHead(206, { 'content-range': `bytes ${start}-${FILE.length - 1}/${FILE.length}` })
      .end(FILE.subarray(start));

describe('a file of known size', () => {
  test('is read on from where the line broke or went dead, and where the server failed in between', async () => {
    const { files, ranges } = await server([until(30_000, 'break'), status(500), until(60_000, 'stall')]);
    expect(await files.readSized('w.bin', FILE.length)).toEqual(FILE);
    expect(ranges).toEqual([undefined, 'bytes=30000-', 'bytes=30000-', 'bytes=60000-']);
  });

  test('is read from the start by a server that does not know ranges', async () => {
    const { files } = await server([until(30_000, 'break'), ignoresRanges]);
    expect(await files.readSized('w.bin', FILE.length)).toEqual(FILE);
  });

  test('is read from the start where the server sends another range than it was asked for', async () => {
    const { files, ranges } = await server([until(30_000, 'break'), rangeFrom(7)]);
    expect(await files.readSized('w.bin', FILE.length)).toEqual(FILE);
    expect(ranges).toEqual([undefined, 'bytes=30000-', undefined]);
    const whole = await server([until(30_000, 'break'), rangeFrom(0)]);
    expect(await whole.files.readSized('w.bin', FILE.length)).toEqual(FILE);
    expect(whole.ranges).toEqual([undefined, 'bytes=30000-']);
  });

  test('is read from the start where the server has nothing from the byte on at which it broke off', async () => {
    const { files, ranges } = await server([until(30_000, 'break'), status(416)]);
    expect(await files.readSized('w.bin', FILE.length)).toEqual(FILE);
    expect(ranges).toEqual([undefined, 'bytes=30000-', undefined]);
  });

  test('is read from the start by a server that has it compressed, and ranges of that', async () => {
    const packed = gzipSync(FILE);
    const compressed =
      (end: number): Answer =>
      (request, response) => {
        const start = startOf(request);
        response.writeHead(start > 0 ? 206 : 200, {
          'content-encoding': 'gzip',
          'content-length': packed.length - start,
          ...(start > 0 ? { 'content-range': `bytes ${start}-${packed.length - 1}/${packed.length}` } : {}),
        });
        response.write(packed.subarray(start, end));
        if (end >= packed.length) response.end();
        else setTimeout(() => response.destroy(), 20);
      };
    const { files } = await server([
      compressed(packed.length >> 1),
      compressed(packed.length),
      compressed(packed.length),
    ]);
    expect(await files.readSized('w.bin', FILE.length)).toEqual(FILE);
  });

  test('is read once more where it was put together of two files', async () => {
    const other = FILE.toReversed();
    const isRight = (whole: Uint8Array) => Buffer.compare(whole, FILE) === 0;
    const exchanged: Answer = (_, response) => {
      response.writeHead(200, { 'content-length': FILE.length });
      response.write(other.subarray(0, 30_000), () => setTimeout(() => response.destroy(), 20));
    };
    const { files, ranges } = await server([exchanged]);
    expect(await files.readSized('w.bin', FILE.length, undefined, isRight)).toEqual(FILE);
    expect(ranges).toEqual([undefined, 'bytes=30000-', undefined]);
    const directory = await temporaryDirectory(scope);
    await writeFile(`${directory}/w.bin.partial`, other);
    const kept = await server([]);
    expect(await kept.files.readSized('w.bin', FILE.length, directory, isRight)).toEqual(FILE);
    expect(kept.ranges).toEqual([undefined]);
  });

  test('is given up where the server sends other ranges and breaks off again and again', async () => {
    const { files, ranges } = await server(
      Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? until(30_000, 'break') : rangeFrom(7))),
    );
    await expect(files.readSized('w.bin', FILE.length)).rejects.toMatchObject({ code: 'not-ready' });
    expect(ranges.length).toBe(5);
  });

  test('is read on by another reader, when the first ended in the midst of it', async () => {
    const directory = await temporaryDirectory(scope);
    const stop = new AbortController();
    const first = await server([until(40_000, 'stall')], { signal: stop.signal, stallMs: 10_000 });
    const ended = expect(first.files.readSized('w.bin', FILE.length, directory)).rejects.toThrow();
    await expect
      .poll(async () => (await readFile(`${directory}/w.bin.partial`).catch(() => '')).length)
      .toBe(40_000);
    stop.abort();
    await ended;
    const second = await server([]);
    expect(await second.files.readSized('w.bin', FILE.length, directory)).toEqual(FILE);
    expect(second.ranges).toEqual(['bytes=40000-']);
    await second.files.forget('w.bin', directory);
    expect(await readdir(directory)).toEqual([]);
  });

  test('is given up after failures in a row without a byte, and the reason told', async () => {
    const { files, ranges } = await server(Array(9).fill(status(503)));
    await expect(files.readSized('w.bin', FILE.length)).rejects.toMatchObject({
      code: 'not-ready',
      cause: { message: expect.stringContaining('answered 503') },
    });
    expect(ranges.length).toBe(5);
  });

  test.each([
    [404, 'unknown-artifact'],
    [403, 'unauthorized'],
    [416, 'bad-artifact'],
  ])('a refusal with %i is final', async (code, problem) => {
    const { files, ranges } = await server([status(code)]);
    await expect(files.readSized('w.bin', FILE.length)).rejects.toMatchObject({ code: problem });
    expect(ranges.length).toBe(1);
  });

  test('that is longer than it should be is refused', async () => {
    const { files } = await server([]);
    await expect(files.readSized('w.bin', 50_000)).rejects.toMatchObject({ code: 'bad-artifact' });
  });
});

test('a file of unknown size is read whole, up to a limit', async () => {
  const { files } = await server([], { maxBytes: FILE.length });
  expect(await files.read('manifest.json')).toEqual(FILE);
  const endless: Answer = (_, response) => {
    const more = () => response.write(FILE, (error) => (error ? undefined : more()));
    more();
  };
  const stranger = await server([endless], { maxBytes: 2 * FILE.length });
  await expect(stranger.files.read('manifest.json')).rejects.toMatchObject({ code: 'bad-artifact' });
  expect(stranger.ranges.length).toBe(1);
});
