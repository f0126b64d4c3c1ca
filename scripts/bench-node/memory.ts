/**
 * What levels in memory cost: the node with the dense level alone beside the node with all levels, each of which has
 * answered. What a change of the level takes: `level-change.ts`.
 */
import { zeroInputs } from '../../infra/node/tensors.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { benchArtifact } from './artifacts.ts';
import type { ClientAnswer, ClientRound } from './client-thread.ts';
import { nodeUnderTest } from './node-under-test.ts';
import { binaryRequest } from './requests.ts';
import { rounded } from './statistics.ts';
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
  const measured: Record<string, Awaited<ReturnType<typeof measure>>> = {};
  for (const [name, count, own] of [
    ['dense', 1, false],
    ['shared', levels, false],
    ['owned', levels, true],
  ] as const) {
    if (own && !withOwned) continue;
    const artifact = await benchArtifact(directory, { size, levels: count, from: 0.2, own });
    measured[name] = await measure(artifact, flags, client.ask[0]!);
  }
  await client.end();
  const { dense, shared, owned } = measured;
  if (dense === undefined || shared === undefined) throw new Error('nothing was measured');
  return {
    size,
    levels,
    workers,
    maxBatch,
    dense,
    shared: { ...shared, toDense: rounded(shared.pssMb / dense.pssMb) },
    owned: owned && { ...owned, toDense: rounded(owned.pssMb / dense.pssMb) },
  };
}

async function measure(artifact: string, flags: readonly string[], ask: Ask<ClientRound, ClientAnswer>) {
  const { manifest } = await openArtifact(artifact);
  const node = await nodeUnderTest(artifact, flags);
  const dense = manifest.levels.length - 1;
  const inputs = zeroInputs(manifest.inputs);
  const send = async (level: number, connections: number, ms: number) => {
    const request = binaryRequest(manifest, inputs, level);
    const answer = await ask({ port: node.port, request, connections, ms });
    if (answer.failures > 0) throw new Error(`level ${level}: ${answer.failures} requests failed`);
    return answer;
  };
  for (const { level } of manifest.levels) await send(level, REQUESTS_PER_LEVEL, 1);
  await send(dense, REQUESTS_PER_LEVEL, 1);
  const pss = await node.pssMb();
  // Back and forth, one request at a time.
  for (let i = 0; i < SWITCHES; i++)
    for (const level of [Math.max(0, dense - 1), dense]) await send(level, 1, 1);
  const result = {
    pssMb: rounded(pss, 0),
    /** Once levels have been changed back and forth. */
    pssAfterChangesMb: rounded(await node.pssMb(), 0),
    weightsMb: rounded((manifest.levels[dense]?.bytes ?? 0) / 2 ** 20, 0),
  };
  await node.stop();
  return result;
}

export function memoryReport(result: Awaited<ReturnType<typeof memory>>): string {
  const { size, levels, workers, maxBatch, dense, shared, owned } = result;
  return [
    `vit-${size}, ${dense.weightsMb} MB of weights; ${workers} worker threads, batches to ${maxBatch}; every level has answered`,
    '',
    '                                        PSS MB   of dense alone   PSS MB after changes',
    `  dense level alone                     ${String(dense.pssMb).padStart(6)}                    ${dense.pssAfterChangesMb}`,
    `  ${levels} levels, all matrices shared       ${String(shared.pssMb).padStart(6)}   ${shared.toDense}            ${shared.pssAfterChangesMb}`,
    ...(owned === undefined
      ? []
      : [
          `  ${levels} levels, output matrices owned     ${String(owned.pssMb).padStart(6)}   ${owned.toDense}            ${owned.pssAfterChangesMb}`,
        ]),
    '',
  ].join('\n');
}
