/** From nothing to the first answer, over a line of limited speed: the sparsest level first, beside all of it first. */

import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { zeroInputs } from '../../infra/node/tensors.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { rounded } from '../local/statistics.ts';
import { connect, exchange } from './http-exchange.ts';
import { nodeUnderTest } from './node-under-test.ts';
import { binaryRequest } from './requests.ts';

export interface ColdStartOptions {
  readonly artifact: string;
  readonly mbitPerS: number;
  readonly workers: number;
}

export async function coldStart({ artifact, mbitPerS, workers }: ColdStartOptions) {
  const { manifest } = await openArtifact(artifact);
  const line = await throttledFiles(artifact, (mbitPerS * 1e6) / 8);
  const cache = await mkdtemp(join(tmpdir(), 'spp-cold-'));
  const dense = manifest.levels.length - 1;
  const begunMs = performance.now();
  const node = await nodeUnderTest(line.url, ['--cache-dir', cache, '--workers', String(workers)]);
  const ask = async (level: number | undefined) => {
    const socket = await connect(node.port);
    const { status, head } = await exchange(
      socket,
      binaryRequest(manifest, zeroInputs(manifest.inputs), level),
    );
    socket.destroy();
    if (status !== 200) throw new Error(head);
    return {
      s: (performance.now() - begunMs) / 1000,
      level: Number(/^x-path-level: *(\d+)/im.exec(head)?.[1]),
    };
  };
  const first = await ask(undefined);
  const all = await ask(dense);
  await node.stop();
  await line.close();
  await rm(cache, { recursive: true, force: true });
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  return {
    artifact: manifest.model.id,
    mbitPerS,
    artifactMb: rounded(bytes / 2 ** 20, 0),
    /** What the line alone takes for all files. */
    lineS: rounded((bytes * 8) / (mbitPerS * 1e6), 1),
    firstAnswerS: rounded(first.s, 2),
    firstLevel: first.level,
    denseAnswerS: rounded(all.s, 2),
    firstToDense: rounded(first.s / all.s),
  };
}

/** Files of a directory over HTTP with ranges, all connections together at `bytesPerS`. */
async function throttledFiles(directory: string, bytesPerS: number) {
  let freeAtMs = performance.now();
  const server = createServer(async (request, response) => {
    try {
      const path = join(directory, basename(request.url ?? ''));
      const { size } = await stat(path);
      const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(start > 0 ? 206 : 200, {
        'content-length': size - start,
        ...(start > 0 ? { 'content-range': `bytes ${start}-${size - 1}/${size}` } : {}),
      });
      for await (const chunk of createReadStream(path, { start, highWaterMark: 64 * 1024 })) {
        const now = performance.now();
        freeAtMs = Math.max(now, freeAtMs) + (chunk.length * 1000) / bytesPerS;
        if (freeAtMs - now > 1) await sleep(freeAtMs - now);
        if (!response.write(chunk)) await once(response, 'drain');
      }
      response.end();
    } catch {
      response.destroy();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/artifact`,
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

export function coldStartReport(r: Awaited<ReturnType<typeof coldStart>>): string {
  return [
    `${r.artifact}, ${r.artifactMb} MB, at ${r.mbitPerS} Mbit/s (${r.lineS} s for all files by the line alone)`,
    `  first answer, level ${r.firstLevel}     ${r.firstAnswerS} s`,
    `  all files, dense answer   ${r.denseAnswerS} s`,
    `  ratio                     ${r.firstToDense}`,
    '',
  ].join('\n');
}
