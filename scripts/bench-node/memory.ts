/**
 * What levels in memory cost: the node with all levels, each of which has answered, beside ordinary onnxruntime sessions of
 * the dense model, one a thread, and beside the node with the dense level alone; and the rate of the dense level in a node that has
 * all, beside bare loops. What a change of the level takes: `level-change.ts`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { artifactLevels } from '../../infra/node/model/level-source.ts';
import { zeroInputs } from '../../infra/node/tensors.ts';
import { type Artifact, openArtifact } from '../../schema/artifact/store.ts';
import { rounded } from '../local/statistics.ts';
import { benchArtifact } from './artifacts.ts';
import type { ClientAnswer, ClientRound } from './client-thread.ts';
import { nodeUnderTest, pssMb } from './node-under-test.ts';
import type { RawAnswer, RawRound, RawThreadData } from './raw-thread.ts';
import { binaryRequest } from './requests.ts';
import { type Ask, threads } from './threads.ts';

export interface MemoryOptions {
  readonly directory: string;
  readonly size: 'base' | 'tiny' | 'small32';
  readonly levels: number;
  readonly workers: number;
  readonly maxBatch: number;
  /** Whether levels with output matrices of their own are measured too. */
  readonly owned: boolean;
}

/** Requests at each level before memory is read: more than one a worker, so that each has run it. */
const REQUESTS_PER_LEVEL = 4;
const SWITCHES = 10;
/** Of requests for the dense level alone, so that it is the one in use. */
const USE_MS = 4000;
/** Without any: a node that packs does so for what has been in use for some ten seconds, and in a quiet moment. */
const SETTLE_MS = 15_000;
/** Of the node and of bare loops, in turns, so that the loops' speed is known before and after. */
const RATE_MS = 8000;

export async function memory({
  directory,
  size,
  levels,
  workers,
  maxBatch,
  owned: withOwned,
}: MemoryOptions) {
  const client = await threads<ClientRound, ClientAnswer>('client-thread.ts', 1, undefined);
  const flags = [
    '--workers',
    String(workers),
    '--max-batch',
    String(maxBatch),
    '--memory-budget-mb',
    '16384',
  ];
  const plainMb = await plainSessionsMb(
    await benchArtifact(directory, { size, levels: 1, from: 0.2, own: false }),
    workers,
  );
  const measured: Record<string, Awaited<ReturnType<typeof measure>>> = {};
  for (const [name, count, own] of [
    ['dense', 1, false],
    ['shared', levels, false],
    ['owned', levels, true],
  ] as const) {
    if (own && !withOwned) continue;
    const artifact = await benchArtifact(directory, { size, levels: count, from: 0.2, own });
    measured[name] = await measure(artifact, flags, client.ask[0]!, name === 'shared' ? workers : 0);
  }
  await client.end();
  const { dense, shared, owned } = measured;
  if (dense === undefined || shared === undefined) throw new Error('nothing was measured');
  return {
    size,
    levels,
    workers,
    maxBatch,
    plainMb: rounded(plainMb, 0),
    dense: { ...dense, toPlain: rounded(dense.pssMb / plainMb) },
    shared: {
      ...shared,
      toPlain: rounded(shared.pssMb / plainMb),
      toDense: rounded(shared.pssMb / dense.pssMb),
    },
    owned: owned && {
      ...owned,
      toPlain: rounded(owned.pssMb / plainMb),
      toDense: rounded(owned.pssMb / dense.pssMb),
    },
  };
}

/** Of a process that does nothing but hold the sessions, each of which has run. */
async function plainSessionsMb(artifact: string, workers: number): Promise<number> {
  const model = join(artifact, 'whole.onnx');
  await writeFile(model, await artifactLevels(await openArtifact(artifact), 1).model(0));
  const script = fileURLToPath(new URL('plain-sessions.ts', import.meta.url));
  const child = spawn(process.execPath, [script, model, artifact, String(workers)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const isReady = await Promise.race([once(child.stdout, 'data').then(() => true), ended.then(() => false)]);
  const mb = isReady ? await pssMb(child.pid ?? 0) : Number.NaN;
  child.kill();
  await ended;
  await rm(model);
  if (!isReady) throw new Error('the plain sessions ended before they were ready');
  return mb;
}

/** @param rateOf so many bare loops is measured too; 0 for none */
async function measure(
  directory: string,
  flags: readonly string[],
  ask: Ask<ClientRound, ClientAnswer>,
  rateOf: number,
) {
  const artifact = await openArtifact(directory);
  const { manifest } = artifact;
  const node = await nodeUnderTest(directory, flags);
  const dense = manifest.levels.length - 1;
  const inputs = zeroInputs(manifest.inputs);
  const send = async (level: number, connections: number, ms: number) => {
    const request = binaryRequest(manifest, inputs, level);
    const answer = await ask({ port: node.port, request, connections, ms });
    if (answer.failures > 0) throw new Error(`level ${level}: ${answer.failures} requests failed`);
    return answer;
  };
  for (const { level } of manifest.levels) await send(level, REQUESTS_PER_LEVEL, 1);
  const asItLiesMb = rounded(await node.pssMb(), 0);
  await send(dense, REQUESTS_PER_LEVEL, USE_MS);
  await sleep(SETTLE_MS);
  const pss = await node.pssMb();
  // Back and forth, one request at a time.
  for (let i = 0; i < SWITCHES; i++)
    for (const level of [Math.max(0, dense - 1), dense]) await send(level, 1, 1);
  const pssAfterChangesMb = rounded(await node.pssMb(), 0);
  const rate =
    rateOf === 0 ? undefined : await rateBeside(artifact, dense, rateOf, (ms) => send(dense, rateOf, ms));
  const result = {
    pssMb: rounded(pss, 0),
    /** When all levels had just answered: where there are several, none is packed for long then. */
    asItLiesMb,
    /** Once levels have been changed back and forth. */
    pssAfterChangesMb,
    rate,
    weightsMb: rounded((manifest.levels[dense]?.bytes ?? 0) / 2 ** 20, 0),
  };
  await node.stop();
  return result;
}

/** Rows a second of one-row requests on as many connections as threads, and of bare loops before and after. */
async function rateBeside(
  artifact: Artifact,
  level: number,
  workers: number,
  requests: (ms: number) => Promise<ClientAnswer>,
) {
  const { manifest } = artifact;
  const { feeds } = zeroInputs(manifest.inputs);
  const loops = await threads<RawRound, RawAnswer>('raw-thread.ts', workers, {
    model: await artifactLevels(artifact, 1).model(level),
    outputs: manifest.outputs.map(({ name }) => name),
  } satisfies RawThreadData);
  const perS = (runs: number, tookMs: number) => (runs * 1000) / tookMs;
  const raw = async () => {
    const all = await Promise.all(loops.ask.map((ask) => ask({ feeds, ms: RATE_MS })));
    return all.reduce((sum, { runsMs, tookMs }) => sum + perS(runsMs.length, tookMs), 0);
  };
  const before = await raw();
  const { requestsMs, tookMs } = await requests(RATE_MS);
  const after = await raw();
  await loops.end();
  const node = perS(requestsMs.length, tookMs);
  return {
    node: rounded(node),
    rawBefore: rounded(before),
    rawAfter: rounded(after),
    toRaw: rounded((2 * node) / (before + after)),
  };
}

export function memoryReport(result: Awaited<ReturnType<typeof memory>>): string {
  const { size, levels, workers, maxBatch, plainMb, dense, shared, owned } = result;
  const line = (name: string, mb: number, toPlain: string, toDense: string, before: string, after: string) =>
    `  ${name.padEnd(38)}${String(mb).padStart(6)}${toPlain.padStart(12)}${toDense.padStart(14)}${before.padStart(18)}${after.padStart(16)}`;
  const rows = [
    [`${levels} levels, all matrices shared`, shared] as const,
    ...(owned === undefined ? [] : [[`${levels} levels, output matrices owned`, owned] as const]),
  ];
  return [
    `vit-${size}, ${dense.weightsMb} MB of weights; ${workers} worker threads, batches to ${maxBatch}; every level has answered`,
    '',
    '                                        PSS MB   of plain   of dense alone   before packing   after changes',
    line('plain sessions of the dense model', plainMb, '1', '', '', ''),
    line(
      'node, dense level alone',
      dense.pssMb,
      String(dense.toPlain),
      '1',
      String(dense.asItLiesMb),
      String(dense.pssAfterChangesMb),
    ),
    ...rows.map(([name, of]) =>
      line(
        `node, ${name}`,
        of.pssMb,
        String(of.toPlain),
        String(of.toDense),
        String(of.asItLiesMb),
        String(of.pssAfterChangesMb),
      ),
    ),
    ...(shared.rate === undefined
      ? []
      : [
          '',
          `dense level of ${levels}, requests of a row: ${shared.rate.node} rows/s; onnxruntime loops before and after ${shared.rate.rawBefore} and ${shared.rate.rawAfter}: ${shared.rate.toRaw} of them`,
        ]),
    '',
  ].join('\n');
}
