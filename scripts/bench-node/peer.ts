/**
 * The node beside MLServer (PyPI, with onnxruntime) on the same dense ONNX file, on the same cores, by the same client and in
 * the same rounds: throughput, latency, memory. Makes its virtual environment where there is none.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, copyFile, mkdir, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { artifactLevels } from '../../infra/node/model/level-source.ts';
import { zeroInputs } from '../../infra/node/tensors.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { median, quantileOf, rounded } from '../local/statistics.ts';
import type { ClientAnswer, ClientRound } from './client-thread.ts';
import { connect, exchange } from './http-exchange.ts';
import { cpuMs, nodeUnderTest, pssMb } from './node-under-test.ts';
import { binaryRequest, jsonRequest } from './requests.ts';
import { threads } from './threads.ts';

export interface PeerOptions {
  readonly artifact: string;
  readonly directory: string;
  /** Of Python, with mlserver and onnxruntime; made where it is missing. */
  readonly venv: string;
  readonly workers: number;
  readonly maxBatch: number;
  readonly rounds: number;
  readonly seconds: number;
}

const RUNTIME = fileURLToPath(new URL('./peer-runtime.py', import.meta.url));
// Its uvloop of today no longer starts it.
const PACKAGES = ['mlserver==1.7.1', 'uvloop==0.21.0', 'onnxruntime'];

export async function peer(options: PeerOptions) {
  const { workers, maxBatch, rounds, seconds } = options;
  const artifact = await openArtifact(options.artifact);
  const { manifest } = artifact;
  const dense = manifest.levels.length - 1;
  const model = join(options.directory, `${manifest.model.id}-dense.onnx`);
  await writeFile(model, await artifactLevels(artifact, 1).model(dense));
  await pythonEnvironment(options.venv);
  const mlserver = await startMlserver(options, manifest.model.id, model);
  const node = await nodeUnderTest(options.artifact, [
    '--workers',
    String(workers),
    '--max-batch',
    String(maxBatch),
  ]);
  const client = await threads<ClientRound, ClientAnswer>('client-thread.ts', 1, undefined);
  const one = zeroInputs(manifest.inputs);
  // No version, which the peer's model does not have.
  const requests = {
    json: jsonRequest(manifest, one, undefined),
    binary: binaryRequest(manifest, one, undefined),
  };
  const ports = { ours: node.port, theirs: mlserver.port };
  const binaryThere = await answers(mlserver.port, requests.binary);
  const forms = binaryThere ? (['json', 'binary'] as const) : (['json'] as const);

  const saturated: Record<string, number[]> = {};
  const loaded: Record<string, number[]> = {};
  const alone: Record<string, number[]> = {};
  const cpu: Record<string, number[]> = {};
  const pids: Record<string, number> = { ours: node.child.pid ?? 0, theirs: mlserver.child.pid ?? 0 };
  for (let round = -1; round < rounds; round++)
    for (const form of forms)
      for (const [side, port] of Object.entries(ports).toSorted(() => (round % 2 === 0 ? 1 : -1))) {
        const ask = (connections: number, ms: number) =>
          client.ask[0]!({ port, request: requests[form], connections, ms });
        const before = await cpuMs(pids[side] ?? 0);
        const full = await ask(2 * workers * maxBatch, seconds * 1000);
        const spent = (await cpuMs(pids[side] ?? 0)) - before;
        const single = await ask(1, seconds * 500);
        if (full.failures + single.failures > 0) throw new Error(`${side} ${form}: requests failed`);
        // The first round warms up.
        if (round < 0) continue;
        const key = `${side} ${form}`;
        saturated[key] = [...(saturated[key] ?? []), (full.requestsMs.length * 1000) / full.tookMs];
        cpu[key] = [...(cpu[key] ?? []), spent / full.requestsMs.length];
        loaded[key] = [...(loaded[key] ?? []), ...full.requestsMs];
        alone[key] = [...(alone[key] ?? []), ...single.requestsMs];
      }
  const memoryMb = {
    ours: rounded(await node.pssMb(), 0),
    theirs: rounded(await pssMb(mlserver.child.pid ?? 0), 0),
  };
  await node.stop();
  await mlserver.stop();
  await client.end();
  const of = (key: string) => ({
    rowsPerS: rounded(median(saturated[key] ?? []), 1),
    /** Of all its processes. */
    cpuMsPerRow: rounded(median(cpu[key] ?? [])),
    saturatedP50Ms: rounded(quantileOf(loaded[key] ?? [], 0.5)),
    saturatedP99Ms: rounded(quantileOf(loaded[key] ?? [], 0.99)),
    aloneP50Ms: rounded(quantileOf(alone[key] ?? [], 0.5)),
    aloneP99Ms: rounded(quantileOf(alone[key] ?? [], 0.99)),
  });
  return {
    artifact: manifest.model.id,
    peer: PACKAGES[0],
    workers,
    maxBatch,
    rounds,
    connections: 2 * workers * maxBatch,
    memoryMb,
    levelsInMemory: { ours: manifest.levels.length, theirs: 1 },
    forms: Object.fromEntries(
      forms.map((form) => [form, { ours: of(`ours ${form}`), theirs: of(`theirs ${form}`) }]),
    ),
  };
}

async function pythonEnvironment(venv: string): Promise<void> {
  const there = await access(join(venv, 'bin', 'mlserver')).then(
    () => true,
    () => false,
  );
  if (there) return;
  process.stderr.write(`making a Python environment in ${venv}\n`);
  const run = promisify(execFile);
  await run('python3', ['-m', 'venv', venv]);
  await run(join(venv, 'bin', 'pip'), ['install', '--quiet', ...PACKAGES]);
}

/** As its documentation sets it up: worker processes, and adaptive batching up to the same number of rows. */
async function startMlserver({ directory, venv, workers, maxBatch }: PeerOptions, id: string, model: string) {
  const [http, grpc, metrics] = [await freePort(), await freePort(), await freePort()];
  const home = join(directory, 'mlserver');
  await mkdir(home, { recursive: true });
  await copyFile(RUNTIME, join(home, 'peer_runtime.py'));
  await writeFile(
    join(home, 'settings.json'),
    JSON.stringify({
      host: '127.0.0.1',
      http_port: http,
      grpc_port: grpc,
      metrics_port: metrics,
      parallel_workers: workers,
      debug: false,
    }),
  );
  await writeFile(
    join(home, 'model-settings.json'),
    JSON.stringify({
      name: id,
      implementation: 'peer_runtime.OnnxModel',
      max_batch_size: maxBatch,
      max_batch_time: 0.005,
      parameters: { uri: model },
    }),
  );
  const child = spawn(join(venv, 'bin', 'mlserver'), ['start', home], {
    cwd: home,
    env: { ...process.env, PYTHONPATH: home },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk.toString()).slice(-4000);
  });
  await untilReady(child, `http://127.0.0.1:${http}/v2/models/${id}/ready`, () => complaints);
  return {
    child,
    port: http,
    async stop() {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

const READY_WITHIN_MS = 60_000;

async function untilReady(child: ChildProcess, url: string, complaints: () => string): Promise<void> {
  for (const endMs = performance.now() + READY_WITHIN_MS; performance.now() < endMs; await sleep(100)) {
    if (child.exitCode !== null) throw new Error(`mlserver ended:\n${complaints()}`);
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return;
  }
  child.kill('SIGKILL');
  throw new Error(`mlserver did not become ready:\n${complaints()}`);
}

async function answers(port: number, request: Uint8Array): Promise<boolean> {
  const socket = await connect(port);
  const answer = await exchange(socket, request).catch(() => undefined);
  socket.destroy();
  return answer?.status === 200;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export function peerReport(r: Awaited<ReturnType<typeof peer>>): string {
  const lines = [
    `${r.artifact}, dense; ${r.workers} workers, batches to ${r.maxBatch}, ${r.connections} connections; medians of ${r.rounds} alternating rounds`,
    '',
    '                      rows/s   CPU ms a row   p50 ms   p99 ms   alone p50 ms   alone p99 ms',
  ];
  for (const [form, sides] of Object.entries(r.forms))
    for (const [name, side] of [
      ['node', sides.ours],
      ['MLServer', sides.theirs],
    ] as const)
      lines.push(
        `  ${`${name}, ${form}`.padEnd(18)} ${[side.rowsPerS, side.cpuMsPerRow, side.saturatedP50Ms, side.saturatedP99Ms, side.aloneP50Ms, side.aloneP99Ms].map((value) => String(value).padStart(7)).join('  ')}`,
      );
  lines.push(
    '',
    `memory (PSS): node ${r.memoryMb.ours} MB with ${r.levelsInMemory.ours} levels, MLServer ${r.memoryMb.theirs} MB with the dense model`,
    '',
  );
  return lines.join('\n');
}
