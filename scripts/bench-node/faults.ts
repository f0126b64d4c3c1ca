/**
 * What goes wrong, done on purpose: each request that was sent must come to exactly one end, an answer that is right or a
 * failure that is told. A connection that breaks is a failure that is told; silence is not.
 */
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnSessionThread, type Thread } from '../../infra/node/execution/asked-thread.ts';
import { type RunningNode, startNode } from '../../infra/node/server.ts';
import { zeroInputs } from '../../infra/node/tensors.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { added } from '../local/statistics.ts';
import { uniforms } from './arrivals.ts';
import { connect, exchange } from './http-exchange.ts';
import { nodeUnderTest } from './node-under-test.ts';
import { binaryRequest } from './requests.ts';

export interface FaultOptions {
  readonly artifact: string;
  /** A directory on a disk with less room than the weights take; undefined leaves that scenario out. */
  readonly fullDisk?: string | undefined;
}

export interface Ends {
  readonly sent: number;
  readonly answered: number;
  /** Refused or failed, with a problem document. */
  readonly told: number;
  /** The connection broke. */
  readonly broken: number;
  /** Neither within `SILENCE_MS`: must be 0. */
  readonly silent: number;
}

interface Scenario {
  readonly name: string;
  readonly ends: Ends;
  readonly note: string;
}

const CONNECTIONS = 16;
const SILENCE_MS = 30_000;

export async function faults({ artifact, fullDisk }: FaultOptions): Promise<readonly Scenario[]> {
  const { manifest } = await openArtifact(artifact);
  const scenarios = [
    await killed(artifact, manifest),
    await workersLost(artifact, manifest),
    await clockJumps(artifact, manifest),
    await badOrigin(artifact, manifest),
  ];
  return fullDisk === undefined ? scenarios : [...scenarios, await diskFull(artifact, manifest, fullDisk)];
}

/** SIGKILL under load; then a new node on the same cache. */
async function killed(artifact: string, manifest: Manifest): Promise<Scenario> {
  const node = await nodeUnderTest(artifact);
  const load = closedLoop(node.port, requestOf(manifest));
  await sleep(1500);
  node.child.kill('SIGKILL');
  const ends = await load.ended;
  const begunMs = performance.now();
  const next = await nodeUnderTest(artifact);
  const seconds = (performance.now() - begunMs) / 1000;
  const after = closedLoop(next.port, requestOf(manifest));
  await sleep(500);
  const again = await after.stop();
  await next.stop();
  return {
    name: 'node killed (SIGKILL) under load',
    ends: added(ends, again),
    note: `the next one was ready after ${seconds.toFixed(1)} s, on the weights and times that the first had kept`,
  };
}

/** Threads that die in place of their run, one time in fifty. */
async function workersLost(artifact: string, manifest: Manifest): Promise<Scenario> {
  const uniform = uniforms(3);
  let lost = 0;
  let armed = false;
  const node = await startNode(
    { artifact, port: 0, logLevel: 'silent' },
    {
      spawn(data) {
        const thread = spawnSessionThread(data);
        let unanswered = 0;
        thread.on('message', ({ kind }) => {
          if (kind !== 'ready') unanswered--;
        });
        const fragile: Thread = {
          on: thread.on.bind(thread) as Thread['on'],
          postMessage(message) {
            // Ending a thread inside onnxruntime would end the whole process.
            const dies = armed && message.kind === 'run' && unanswered === 0 && uniform() <= 0.02;
            if (message.kind === 'run' || message.kind === 'prepare') unanswered++;
            if (!dies) return thread.postMessage(message);
            lost++;
            void thread.terminate();
          },
        };
        return fragile;
      },
    },
  );
  await node.ready;
  armed = true;
  const load = closedLoop(portOf(node), requestOf(manifest));
  await sleep(4000);
  const ends = await load.stop();
  await node.close();
  return {
    name: 'worker threads that die under a run',
    ends,
    note: `${lost} threads died and were replaced`,
  };
}

/** The system's clock goes a day ahead and a day back, every 100 ms; deadlines are on a steady one. */
async function clockJumps(artifact: string, manifest: Manifest): Promise<Scenario> {
  const node = await startNode({ artifact, port: 0, logLevel: 'silent' });
  await node.ready;
  const { now } = Date;
  let jumps = 0;
  const jumping = setInterval(() => {
    const offset = [86_400_000, -86_400_000, 0][jumps++ % 3] ?? 0;
    Date.now = () => now() + offset;
  }, 100);
  const load = closedLoop(portOf(node), requestOf(manifest, { 'X-Latency-Budget': '5s' }));
  await sleep(2000);
  clearInterval(jumping);
  Date.now = now;
  const ends = await load.stop();
  await node.close();
  return { name: 'the clock jumps', ends, note: `${jumps} jumps of a day; every request had 5 s` };
}

/** An origin that answers 500, breaks off, or says no more, to half of what it is asked. */
async function badOrigin(artifact: string, manifest: Manifest): Promise<Scenario> {
  const origin = await faultyFiles(artifact);
  const cacheDir = await mkdtemp(join(tmpdir(), 'spp-faults-'));
  const node = await startNode({ artifact: origin.url, port: 0, cacheDir, pollMs: 500, logLevel: 'silent' });
  const begunMs = performance.now();
  await node.ready;
  const readyS = (performance.now() - begunMs) / 1000;
  const load = closedLoop(portOf(node), requestOf(manifest));
  const dense = manifest.levels.length - 1;
  const arrived = () =>
    node.report().models[0]?.levels.find(({ level, profiles }) => level === dense && profiles.length > 0);
  for (let i = 0; i < 1200 && arrived() === undefined; i++) await sleep(100);
  const allS = (performance.now() - begunMs) / 1000;
  const ends = await load.stop();
  await node.close();
  await origin.close();
  await rm(cacheDir, { recursive: true, force: true });
  const { failed, broke, stalled, ranges } = origin.counts;
  return {
    name: 'an origin that fails, breaks off and stalls',
    ends,
    note: `${failed} answers of 500, ${broke} broken off, ${stalled} stalled; ${ranges} reads went on in the middle; first level after ${readyS.toFixed(1)} s, ${arrived() === undefined ? 'never all' : `all after ${allS.toFixed(1)} s`}`,
  };
}

async function diskFull(artifact: string, manifest: Manifest, fullDisk: string): Promise<Scenario> {
  const cacheDir = await mkdtemp(join(fullDisk, 'spp-'));
  const node = await startNode({ artifact, port: 0, cacheDir, logLevel: 'silent' });
  await node.ready;
  const load = closedLoop(portOf(node), requestOf(manifest));
  await sleep(1000);
  const ends = await load.stop();
  await node.close();
  await rm(cacheDir, { recursive: true, force: true });
  return { name: 'the disk is full', ends, note: 'levels were kept in memory instead' };
}

function requestOf(manifest: Manifest, headers: Readonly<Record<string, string>> = {}): Uint8Array {
  return binaryRequest(manifest, zeroInputs(manifest.inputs), 0, headers);
}

function portOf(node: RunningNode): number {
  return Number(new URL(node.url).port);
}

/** Connections that send again as soon as they have an answer, until told to stop or the server is gone. */
function closedLoop(port: number, request: Uint8Array): { ended: Promise<Ends>; stop(): Promise<Ends> } {
  const ends = { sent: 0, answered: 0, told: 0, broken: 0, silent: 0 };
  let stopped = false;
  const loop = async () => {
    let socket: Socket | undefined = await connect(port).catch(() => undefined);
    while (!stopped && socket !== undefined) {
      ends.sent++;
      const silence = sleep(SILENCE_MS, 'silent' as const, { ref: false });
      const end = await Promise.race([exchange(socket, request).catch(() => 'broken' as const), silence]);
      if (end === 'silent') ends.silent++;
      else if (end === 'broken') {
        ends.broken++;
        socket = await connect(port).catch(() => undefined);
      } else if (end.status === 200) ends.answered++;
      else ends.told++;
    }
    socket?.destroy();
  };
  const ended = Promise.all(Array.from({ length: CONNECTIONS }, loop)).then(() => ends);
  return {
    ended,
    stop() {
      stopped = true;
      return ended;
    },
  };
}

async function faultyFiles(directory: string) {
  const uniform = uniforms(5);
  const counts = { failed: 0, broke: 0, stalled: 0, ranges: 0 };
  const server = createServer(async (request, response) => {
    const path = join(directory, basename(request.url ?? ''));
    const { size } = await stat(path);
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (start > 0) counts.ranges++;
    const fate = uniform();
    if (fate < 0.25) {
      counts.failed++;
      response.writeHead(500).end();
      return;
    }
    response.writeHead(start > 0 ? 206 : 200, {
      'content-length': size - start,
      ...(start > 0 ? { 'content-range': `bytes ${start}-${size - 1}/${size}` } : {}),
    });
    if (fate > 0.5) {
      createReadStream(path, { start }).pipe(response);
      return;
    }
    // Some of it, then nothing: the line breaks, or goes dead.
    const breaks = fate < 0.45;
    if (breaks) counts.broke++;
    else counts.stalled++;
    const end = start + Math.floor((size - start) / 2);
    for await (const chunk of createReadStream(path, { start, end })) response.write(chunk);
    if (breaks) setTimeout(() => response.destroy(), 20);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/artifact`,
    counts,
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

export function faultsReport(scenarios: readonly Scenario[]): string {
  const lines = ['scenario                                        sent   answered    told   broken   silent'];
  for (const { name, ends, note } of scenarios)
    lines.push(
      `  ${name.padEnd(44)} ${[ends.sent, ends.answered, ends.told, ends.broken, ends.silent].map((count) => String(count).padStart(6)).join('   ')}`,
      `    ${note}`,
    );
  return `${lines.join('\n')}\n`;
}
