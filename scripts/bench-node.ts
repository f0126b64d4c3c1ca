/**
 * The inference node beside bare onnxruntime, in one run: throughput at saturation, and what a request costs beyond its
 * run at low load. Medians of alternating rounds; client, server and worker threads share this machine's cores.
 *
 *   npm run bench:node -- --artifact DIR [--level K] [--workers N] [--max-batch N] [--rounds N] [--seconds S] [--json]
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { artifactLevels } from '../infra/node/model/level-source.ts';
import { type RunningNode, startNode } from '../infra/node/server.ts';
import { type PackedInputs, zeroInputs } from '../infra/node/tensors.ts';
import { openArtifact } from '../schema/artifact/store.ts';
import { bytesOf, joinBody } from '../schema/binary-tensors.ts';
import type { Manifest } from '../schema/manifest.ts';
import type { ClientAnswer, ClientRound } from './bench-node/client-thread.ts';
import type { RawAnswer, RawRound, RawThreadData } from './bench-node/raw-thread.ts';

const { values: flags } = parseArgs({
  options: {
    artifact: { type: 'string' },
    level: { type: 'string' },
    workers: { type: 'string', default: String(availableParallelism()) },
    'max-batch': { type: 'string', default: '8' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
if (flags.artifact === undefined) {
  process.stderr.write('Say which artifact: npm run bench:node -- --artifact DIR\n');
  process.exit(2);
}
const artifact = await openArtifact(flags.artifact);
const { manifest } = artifact;
const level = Number(flags.level ?? manifest.levels.length - 1);
const [workers, maxBatch, rounds] = [flags.workers, flags['max-batch'], flags.rounds].map(Number) as [
  number,
  number,
  number,
];
const roundMs = Number(flags.seconds) * 1000;

const model = await artifactLevels(artifact, 1).model(level);
const outputs = manifest.outputs.map(({ name }) => name);
const raw = await threads<RawRound, RawAnswer>('raw-thread.ts', workers, {
  model,
  outputs,
} satisfies RawThreadData);
const [client] = await threads<ClientRound, ClientAnswer>('client-thread.ts', 1, undefined);
const node = await startNode({ artifact: flags.artifact, port: 0, workers, maxBatch, logLevel: 'error' });
await node.ready;
const port = Number(new URL(node.url).port);
const one = zeroInputs(manifest.inputs);
const full = zeroInputs(manifest.inputs, maxBatch);
const binary = binaryRequest(manifest, one, level);
const json = jsonRequest(manifest, one, level);

/** Twice what the threads can hold, so that a full batch always waits. */
const connections = 2 * workers * maxBatch;
const saturation: { raw: number; rawSingle: number; node: number; nodeJson: number }[] = [];
const low: { raw: number; node: number; nodeJson: number }[] = [];
for (let round = -1; round < rounds; round++) {
  const perSecond = (runs: readonly RawAnswer[], rows: number) =>
    (runs.reduce((sum, { runsMs }) => sum + runsMs.length, 0) * rows * 1000) / roundMs;
  const saturate = async (request: Uint8Array) =>
    (await clients(request, connections)).requestsMs.length / (roundMs / 1000);
  const sample = {
    raw: perSecond(await rawLoops(full), full.batch),
    node: await saturate(binary),
    rawSingle: perSecond(await rawLoops(one), 1),
    nodeJson: await saturate(json),
  };
  const quiet = {
    raw: median(
      (await Promise.all(raw.slice(0, 1).map((ask) => ask({ feeds: one.feeds, ms: roundMs / 2 })))).flatMap(
        ({ runsMs }) => runsMs,
      ),
    ),
    node: median((await clients(binary, 1, roundMs / 2)).requestsMs),
    nodeJson: median((await clients(json, 1, roundMs / 2)).requestsMs),
  };
  // The first round warms up.
  if (round < 0) continue;
  saturation.push(sample);
  low.push(quiet);
}

const of = <T>(samples: readonly T[], value: (sample: T) => number) => round3(median(samples.map(value)));
const result = {
  artifact: `${manifest.model.id}@${manifest.model.version}`,
  level,
  workers,
  cores: availableParallelism(),
  rounds,
  saturation: {
    connections,
    rowsPerSecond: {
      raw: of(saturation, (s) => s.raw),
      rawOneByOne: of(saturation, (s) => s.rawSingle),
      nodeBinary: of(saturation, (s) => s.node),
      nodeJson: of(saturation, (s) => s.nodeJson),
    },
    nodeToRaw: of(saturation, (s) => s.node / s.raw),
    nodeToRawOneByOne: of(saturation, (s) => s.node / s.rawSingle),
  },
  lowLoadP50Ms: {
    raw: of(low, (s) => s.raw),
    nodeBinary: of(low, (s) => s.node),
    nodeJson: of(low, (s) => s.nodeJson),
    addedBinary: of(low, (s) => s.node - s.raw),
    addedJson: of(low, (s) => s.nodeJson - s.raw),
  },
  runsByBatch: runsByBatch(node),
};
process.stdout.write(flags.json ? `${JSON.stringify(result)}\n` : report(result));
await node.close();
process.exit(0);

function rawLoops({ feeds }: PackedInputs): Promise<RawAnswer[]> {
  return Promise.all(raw.map((ask) => ask({ feeds, ms: roundMs })));
}

async function clients(request: Uint8Array, count: number, ms = roundMs): Promise<ClientAnswer> {
  const answer = await client!({ port, request, connections: count, ms });
  if (answer.failures > 0) throw new Error(`${answer.failures} requests were not answered with 200`);
  return answer;
}

/** Threads of a file beside this one that answer each message once. */
async function threads<Question, Answer>(
  file: string,
  count: number,
  data: unknown,
): Promise<((question: Question) => Promise<Answer>)[]> {
  const opened = Array.from({ length: count }, () => {
    const worker = new Worker(new URL(`./bench-node/${file}`, import.meta.url), { workerData: data });
    // A thread that fails ends the benchmark.
    worker.on('error', (error) => {
      throw error;
    });
    const next = () => new Promise<unknown>((resolve) => worker.once('message', resolve));
    return { worker, next };
  });
  await Promise.all(opened.map(({ next }) => next()));
  return opened.map(({ worker, next }) => (question) => {
    const answer = next();
    worker.postMessage(question);
    return answer as Promise<Answer>;
  });
}

function binaryRequest(of: Manifest, { feeds }: PackedInputs, at: number): Uint8Array {
  const tails = feeds.map(({ data }) => bytesOf(data));
  const inputs = of.inputs.map(({ name, datatype }, i) => ({
    name,
    datatype,
    shape: feeds[i]?.dims,
    parameters: { binary_data_size: tails[i]?.length },
  }));
  const { body, headerLength } = joinBody({ inputs, parameters: { binary_data_output: true } }, tails);
  return post(of, at, body, `Inference-Header-Content-Length: ${headerLength}\r\n`);
}

function jsonRequest(of: Manifest, { feeds }: PackedInputs, at: number): Uint8Array {
  const inputs = of.inputs.map(({ name, datatype }, i) => ({
    name,
    datatype,
    shape: feeds[i]?.dims,
    data: Array.from<number | bigint, unknown>(feeds[i]?.data ?? [], (value) =>
      datatype === 'BOOL' ? Number(value) !== 0 : Number(value),
    ),
  }));
  const body = new TextEncoder().encode(JSON.stringify({ inputs }));
  return post(of, at, body, 'Content-Type: application/json\r\n');
}

function post(of: Manifest, at: number, body: Uint8Array, headers: string): Uint8Array {
  const path = `/v2/models/${of.model.id}/versions/${at}/infer`;
  const head = `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}Content-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

/** Runs of the level by their rows, of the last 256 of each size: which batches the load came to. */
function runsByBatch(of: RunningNode): Record<string, number> {
  const profiles = of.report().models[0]?.levels.find((entry) => entry.level === level)?.profiles ?? [];
  return Object.fromEntries(profiles.map(({ batch, p50Ms }) => [batch, round3(p50Ms)]));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function round3(value: number): number {
  return Number(value.toFixed(3));
}

function report({ saturation: s, lowLoadP50Ms: l, ...r }: typeof result): string {
  const { rowsPerSecond: t } = s;
  return [
    `${r.artifact}, level ${r.level}; ${r.workers} worker threads, ${r.cores} cores; medians of ${r.rounds} alternating rounds`,
    '',
    `saturation, ${s.connections} connections       rows/s`,
    `  onnxruntime loops, batch ${String(maxBatch).padEnd(3)}  ${t.raw}`,
    `  onnxruntime loops, batch 1    ${t.rawOneByOne}`,
    `  node, binary tensors          ${t.nodeBinary}   ${s.nodeToRaw} of batch ${maxBatch}, ${s.nodeToRawOneByOne} of batch 1`,
    `  node, JSON tensors            ${t.nodeJson}`,
    '',
    'one request at a time           p50 ms',
    `  onnxruntime loop, batch 1     ${l.raw}`,
    `  node, binary tensors          ${l.nodeBinary}   ${l.addedBinary} added`,
    `  node, JSON tensors            ${l.nodeJson}   ${l.addedJson} added`,
    '',
    `p50 ms of the node's runs by batch: ${JSON.stringify(r.runsByBatch)}`,
    '',
  ].join('\n');
}
