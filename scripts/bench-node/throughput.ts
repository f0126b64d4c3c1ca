/**
 * The inference node beside bare onnxruntime, in one run: throughput at saturation, and what a request costs beyond its
 * run at low load. Medians of alternating rounds. Client, server and worker threads share this machine's cores, and a bare
 * loop has no client: so it runs a second time beside a thread that takes as much of a core as the client took.
 */
import { availableParallelism } from 'node:os';
import { artifactLevels } from '../../infra/node/model/level-source.ts';
import { type PackedInputs, zeroInputs } from '../../infra/node/tensors.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { median, rounded } from '../local/statistics.ts';
import type { BurnAnswer, BurnRound } from './burn-thread.ts';
import type { ClientAnswer, ClientRound } from './client-thread.ts';
import { cpuMs, mainThreadCpuMs, nodeUnderTest } from './node-under-test.ts';
import type { RawAnswer, RawRound, RawThreadData } from './raw-thread.ts';
import { binaryRequest, jsonRequest } from './requests.ts';
import { threads } from './threads.ts';

export interface ThroughputOptions {
  /** Directory. */
  readonly artifact: string;
  /** The dense one unless told. */
  readonly level?: number | undefined;
  readonly workers: number;
  readonly maxBatch: number;
  readonly rounds: number;
  readonly seconds: number;
}

/** Between requests of a client that has time: cores have gone to sleep by then. */
const PAUSE_MS = 10;
/** Until the server's code is compiled the way it stays. */
const WARM_UP_MS = 20_000;

export async function throughput(options: ThroughputOptions) {
  const { workers, maxBatch, rounds, seconds } = options;
  const artifact = await openArtifact(options.artifact);
  const { manifest } = artifact;
  const level = options.level ?? manifest.levels.length - 1;
  const roundMs = seconds * 1000;
  const bare = await threads<RawRound, RawAnswer>('raw-thread.ts', workers, {
    model: await artifactLevels(artifact, 1).model(level),
    outputs: manifest.outputs.map(({ name }) => name),
  } satisfies RawThreadData);
  const client = await threads<ClientRound, ClientAnswer>('client-thread.ts', 1, undefined);
  const burn = await threads<BurnRound, BurnAnswer>('burn-thread.ts', 1, undefined);
  const node = await nodeUnderTest(options.artifact, [
    ...['--workers', String(workers)],
    ...['--max-batch', String(maxBatch)],
  ]);
  const one = zeroInputs(manifest.inputs);
  const full = zeroInputs(manifest.inputs, maxBatch);
  const binary = binaryRequest(manifest, one, level);
  const json = jsonRequest(manifest, one, level);
  const whole = binaryRequest(manifest, full, level);
  /** Twice what the threads can hold, so that a full batch always waits. */
  const connections = 2 * workers * maxBatch;

  const rawLoops = ({ feeds }: PackedInputs) =>
    Promise.all(bare.ask.map((ask) => ask({ feeds, ms: roundMs })));
  const clients = async (request: Uint8Array, count: number, ms = roundMs, pauseMs = 0) => {
    const answer = await client.ask[0]!({ port: node.port, request, connections: count, ms, pauseMs });
    if (answer.failures > 0) throw new Error(`${answer.failures} requests were not answered with 200`);
    return answer;
  };
  /** By the time until the last answer, so that runs which overlap the end count with their time. */
  const rawRate = async (inputs: PackedInputs) => {
    const before = process.cpuUsage();
    const runs = await rawLoops(inputs);
    const { user, system } = process.cpuUsage(before);
    const rows = runs.reduce((sum, { runsMs }) => sum + runsMs.length * inputs.batch, 0);
    const perS = runs.reduce(
      (sum, { runsMs, tookMs }) => sum + (runsMs.length * inputs.batch * 1000) / tookMs,
      0,
    );
    return { perS, cpuMs: (user + system) / 1000 / rows };
  };
  /** Loops beside a thread that takes what the client takes of a core. */
  const rawBeside = async (clientShare: number) => {
    const [raw, burnt] = await Promise.all([
      rawRate(full),
      burn.ask[0]!({ share: clientShare, ms: roundMs }),
    ]);
    return { ...raw, share: burnt.cpuMs / burnt.tookMs };
  };
  const pid = node.child.pid ?? 0;
  const nodeRate = async (request: Uint8Array, rowsOfRequest = 1) => {
    const before = await cpuMs(pid);
    const mainBefore = await mainThreadCpuMs(pid);
    const own = process.cpuUsage();
    const { requestsMs, tookMs } = await clients(request, connections / rowsOfRequest);
    const { user, system } = process.cpuUsage(own);
    const rows = requestsMs.length * rowsOfRequest;
    return {
      perS: (rows * 1000) / tookMs,
      cpuMs: ((await cpuMs(pid)) - before) / rows,
      mainMs: ((await mainThreadCpuMs(pid)) - mainBefore) / requestsMs.length,
      clientShare: (user + system) / 1000 / tookMs,
    };
  };

  type Rate = Awaited<ReturnType<typeof rawRate>>;
  type NodeRate = Awaited<ReturnType<typeof nodeRate>>;
  const saturation: {
    raw: Rate;
    rawBeside: Awaited<ReturnType<typeof rawBeside>>;
    rawSingle: Rate;
    node: NodeRate;
    nodeWhole: NodeRate;
    nodeJson: NodeRate;
  }[] = [];
  const low: { raw: number; rawPaced: number; node: number; nodePaced: number; nodeJson: number }[] = [];
  await clients(binary, connections, WARM_UP_MS);
  for (let round = -1; round < rounds; round++) {
    const raw = await rawRate(full);
    const node = await nodeRate(binary);
    const sample = {
      raw,
      node,
      rawBeside: await rawBeside(node.clientShare),
      nodeWhole: await nodeRate(whole, maxBatch),
      rawSingle: await rawRate(one),
      nodeJson: await nodeRate(json),
    };
    const quietRaw = await bare.ask[0]!({ feeds: one.feeds, ms: roundMs / 2 });
    const pacedRaw = await bare.ask[0]!({ feeds: one.feeds, ms: roundMs / 2, pauseMs: PAUSE_MS });
    const quiet = {
      raw: median(quietRaw.runsMs),
      rawPaced: median(pacedRaw.runsMs),
      node: median((await clients(binary, 1, roundMs / 2)).requestsMs),
      nodePaced: median((await clients(binary, 1, roundMs / 2, PAUSE_MS)).requestsMs),
      nodeJson: median((await clients(json, 1, roundMs / 2)).requestsMs),
    };
    // The first round warms up.
    if (round < 0) continue;
    saturation.push(sample);
    low.push(quiet);
  }
  const profiles =
    (await node.report()).models[0]?.levels.find((entry) => entry.level === level)?.profiles ?? [];
  await node.stop();
  await Promise.all([bare.end(), client.end(), burn.end()]);

  const of = <T>(samples: readonly T[], value: (sample: T) => number) => rounded(median(samples.map(value)));
  return {
    artifact: `${manifest.model.id}@${manifest.model.version}`,
    level,
    workers,
    maxBatch,
    cores: availableParallelism(),
    rounds,
    saturation: {
      connections,
      rowsPerSecond: {
        raw: of(saturation, (s) => s.raw.perS),
        rawBesideClient: of(saturation, (s) => s.rawBeside.perS),
        rawOneByOne: of(saturation, (s) => s.rawSingle.perS),
        nodeBinary: of(saturation, (s) => s.node.perS),
        nodeWholeBatches: of(saturation, (s) => s.nodeWhole.perS),
        nodeJson: of(saturation, (s) => s.nodeJson.perS),
      },
      nodeToRaw: of(saturation, (s) => s.node.perS / s.raw.perS),
      nodeToRawBesideClient: of(saturation, (s) => s.node.perS / s.rawBeside.perS),
      nodeWholeBatchesToRaw: of(saturation, (s) => s.nodeWhole.perS / s.raw.perS),
      /** Of one core. */
      clientShare: of(saturation, (s) => s.node.clientShare),
      shareBesideRaw: of(saturation, (s) => s.rawBeside.share),
      nodeToRawOneByOne: of(saturation, (s) => s.node.perS / s.rawSingle.perS),
      /** Of all threads, without the client's: the rate that a machine with nothing else to do comes to follows from it. */
      cpuMsPerRow: {
        raw: of(saturation, (s) => s.raw.cpuMs),
        rawOneByOne: of(saturation, (s) => s.rawSingle.cpuMs),
        nodeBinary: of(saturation, (s) => s.node.cpuMs),
        nodeWholeBatches: of(saturation, (s) => s.nodeWhole.cpuMs),
        nodeJson: of(saturation, (s) => s.nodeJson.cpuMs),
      },
      /** Of the node's main thread. */
      mainMsPerRequest: {
        nodeBinary: of(saturation, (s) => s.node.mainMs),
        nodeWholeBatches: of(saturation, (s) => s.nodeWhole.mainMs),
        nodeJson: of(saturation, (s) => s.nodeJson.mainMs),
      },
      rawToNodeCpu: of(saturation, (s) => s.raw.cpuMs / s.node.cpuMs),
    },
    lowLoadP50Ms: {
      raw: of(low, (s) => s.raw),
      nodeBinary: of(low, (s) => s.node),
      nodeJson: of(low, (s) => s.nodeJson),
      addedBinary: of(low, (s) => s.node - s.raw),
      addedJson: of(low, (s) => s.nodeJson - s.raw),
      rawPaced: of(low, (s) => s.rawPaced),
      nodePaced: of(low, (s) => s.nodePaced),
      addedPaced: of(low, (s) => s.nodePaced - s.rawPaced),
    },
    /** p50 of the node's runs by their rows: which batches the load came to. */
    runsByBatch: Object.fromEntries(profiles.map(({ batch, p50Ms }) => [batch, rounded(p50Ms)])),
  };
}

export function throughputReport(result: Awaited<ReturnType<typeof throughput>>): string {
  const { saturation: s, lowLoadP50Ms: l, ...r } = result;
  const { rowsPerSecond: t, cpuMsPerRow: c } = s;
  return [
    `${r.artifact}, level ${r.level}; ${r.workers} worker threads, ${r.cores} cores; medians of ${r.rounds} alternating rounds`,
    '',
    `saturation, ${s.connections} connections       rows/s   CPU ms a row`,
    `  onnxruntime loops, batch ${String(r.maxBatch).padEnd(3)}  ${t.raw}   ${c.raw}`,
    `  the same beside a client's share of a core (${s.shareBesideRaw}, client ${s.clientShare})  ${t.rawBesideClient}`,
    `  onnxruntime loops, batch 1    ${t.rawOneByOne}   ${c.rawOneByOne}`,
    `  node, binary tensors          ${t.nodeBinary}   ${c.nodeBinary}`,
    `  node, JSON tensors            ${t.nodeJson}   ${c.nodeJson}`,
    `  node, binary, ${String(r.maxBatch).padEnd(3)} a request   ${t.nodeWholeBatches}   ${c.nodeWholeBatches}`,
    `  node to loops of batch ${String(r.maxBatch).padEnd(3)}    ${s.nodeToRawBesideClient} by rows/s beside a client's share, ${s.nodeToRaw} beside nothing; ${s.rawToNodeCpu} by CPU time`,
    `    of batch 1                  ${s.nodeToRawOneByOne} by rows/s;   ${r.maxBatch} a request: ${s.nodeWholeBatchesToRaw}`,
    `  CPU ms of the node's main thread a request: ${s.mainMsPerRequest.nodeBinary} binary, ${s.mainMsPerRequest.nodeJson} JSON, ${s.mainMsPerRequest.nodeWholeBatches} of ${r.maxBatch} rows`,
    '',
    'one request at a time           p50 ms',
    `  onnxruntime loop, batch 1     ${l.raw}`,
    `  node, binary tensors          ${l.nodeBinary}   ${l.addedBinary} added`,
    `  node, JSON tensors            ${l.nodeJson}   ${l.addedJson} added`,
    `  the same ${PAUSE_MS} ms apart: loop       ${l.rawPaced}`,
    `  node, binary tensors          ${l.nodePaced}   ${l.addedPaced} added`,
    '',
    `p50 ms of the node's runs by batch: ${JSON.stringify(r.runsByBatch)}`,
    '',
  ].join('\n');
}
