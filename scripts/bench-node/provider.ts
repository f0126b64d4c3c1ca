/**
 * The node on a GPU's execution provider beside the node on the cpu, on one artifact and in alternating rounds: how far answers are
 * apart at every level, and by level the rate at saturation and the time of one request at a time.
 */
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { executionProviders } from '../../infra/node/options.ts';
import { type PackedInputs, zeroInputs } from '../../infra/node/tensors.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { textTable } from '../../trainer/cli/table.ts';
import { median, rounded } from '../local/statistics.ts';
import { type BenchArtifact, benchArtifact } from './artifacts.ts';
import type { ClientAnswer, ClientRound } from './client-thread.ts';
import { type NodeUnderTest, nodeUnderTest } from './node-under-test.ts';
import { binaryRequest } from './requests.ts';
import { threads } from './threads.ts';

export type GpuProvider = Exclude<(typeof executionProviders)[number], 'cpu'>;

export interface ProviderOptions {
  /** Directory; one of random weights is made where there is none. */
  readonly artifact?: string | undefined;
  readonly directory: string;
  readonly size: BenchArtifact['size'];
  readonly levels: number;
  readonly ep: GpuProvider;
  /** Of the node on the cpu. */
  readonly workers: number;
  /** Of the node on the GPU: each is a thread with sessions of its own. */
  readonly gpuWorkers: number;
  readonly maxBatch: number;
  readonly rounds: number;
  readonly seconds: number;
}

interface Sample {
  readonly perS: number;
  readonly aloneMs: number;
}

export async function provider(options: ProviderOptions) {
  const { directory, size, ep, workers, gpuWorkers, maxBatch, rounds, seconds } = options;
  const made = { size, levels: options.levels, from: 0.2, own: true };
  const artifact = options.artifact ?? (await benchArtifact(directory, made));
  const { manifest } = await openArtifact(artifact);
  const flags = (count: number) => ['--workers', String(count), '--max-batch', String(maxBatch)];
  // Whatever fails, also before the last one is there, leaves no process behind.
  await using started = new AsyncDisposableStack();
  const cpu = await nodeUnderTest(artifact, flags(workers));
  started.defer(() => cpu.stop());
  const gpu = await nodeUnderTest(artifact, [...flags(gpuWorkers), '--ep', ep]);
  started.defer(() => gpu.stop());
  const client = await threads<ClientRound, ClientAnswer>('client-thread.ts', 1, undefined);
  started.defer(async () => {
    await client.end();
  });
  const one = noise(zeroInputs(manifest.inputs));
  const levels = [];
  for (const { level } of manifest.levels) {
    const request = binaryRequest(manifest, one, level);
    const sample = async ({ port }: NodeUnderTest, count: number): Promise<Sample> => {
      const ask = async (connections: number) => {
        const answer = await client.ask[0]!({ port, request, connections, ms: seconds * 500 });
        if (answer.failures > 0) throw new Error(`level ${level}: ${answer.failures} requests failed`);
        return answer;
      };
      const full = await ask(2 * count * maxBatch);
      const alone = await ask(1);
      return {
        perS: (full.requestsMs.length * 1000) / full.tookMs,
        aloneMs: median(alone.requestsMs),
      };
    };
    const samples: { cpu: Sample; gpu: Sample }[] = [];
    for (let round = -1; round < rounds; round++) {
      const sides = { cpu: await sample(cpu, workers), gpu: await sample(gpu, gpuWorkers) };
      // The first round warms up.
      if (round >= 0) samples.push(sides);
    }
    const of = (value: (sides: { cpu: Sample; gpu: Sample }) => number) =>
      rounded(median(samples.map(value)));
    levels.push({
      level,
      distance: distance(
        await answerOf(cpu.url, manifest, one, level),
        await answerOf(gpu.url, manifest, one, level),
      ),
      rowsPerS: { cpu: of((s) => s.cpu.perS), gpu: of((s) => s.gpu.perS) },
      aloneP50Ms: { cpu: of((s) => s.cpu.aloneMs), gpu: of((s) => s.gpu.aloneMs) },
    });
  }
  return { artifact: manifest.model.id, ep, workers, gpuWorkers, maxBatch, rounds, levels };
}

/** Floating inputs drawn evenly from [-1, 1), always the same. */
function noise({ feeds, ...rest }: PackedInputs): PackedInputs {
  const random = xoroshiro128plus(1);
  for (const { data } of feeds)
    if (data instanceof Float32Array) for (let i = 0; i < data.length; i++) data[i] = random.next() / 2 ** 31;
  return { ...rest, feeds };
}

async function answerOf(url: string, { model, inputs }: Manifest, { feeds }: PackedInputs, level: number) {
  const body = {
    inputs: inputs.map(({ name, datatype }, i) => ({
      name,
      datatype,
      shape: feeds[i]?.dims,
      data: Array.from<number | bigint, number>(feeds[i]?.data ?? [], Number),
    })),
  };
  const response = await fetch(`${url}/v2/models/${model.id}/versions/${level}/infer`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`level ${level}: ${response.status} ${await response.text()}`);
  const { outputs } = (await response.json()) as { outputs: { data: number[] }[] };
  return outputs.flatMap(({ data }) => data);
}

/** Greatest difference, relative to the greatest value. */
function distance(reference: readonly number[], values: readonly number[]): number {
  const largest = (numbers: readonly number[]) => numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return largest(reference.map((x, i) => x - (values[i] ?? Number.NaN))) / largest(reference);
}

export function providerReport({ levels, ...r }: Awaited<ReturnType<typeof provider>>): string {
  const header = [
    'level',
    'cpu rows/s',
    `${r.ep} rows/s`,
    'ratio',
    'cpu alone ms',
    `${r.ep} alone ms`,
    'distance',
  ];
  const body = levels.map(({ level, distance: apart, rowsPerS, aloneP50Ms }) => [
    level,
    rowsPerS.cpu,
    rowsPerS.gpu,
    rounded(rowsPerS.gpu / rowsPerS.cpu),
    aloneP50Ms.cpu,
    aloneP50Ms.gpu,
    apart.toExponential(1),
  ]);
  return [
    `${r.artifact}: the node on ${r.ep} (${r.gpuWorkers} worker threads) beside the node on the cpu (${r.workers}); batches to ${r.maxBatch}; medians of ${r.rounds} alternating rounds`,
    '',
    textTable(
      header,
      body.map((row) => row.map(String)),
    ),
    '',
  ].join('\n');
}
