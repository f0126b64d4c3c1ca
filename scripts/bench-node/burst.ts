/**
 * Bursty load at a mean that the dense level cannot hold: the node stepping down as it sees fit, beside the same node asked
 * for one level whatever comes, and beside asking for the densest level that alone fits each budget. All see the same arrivals.
 */
import { setUpEngine } from '../../infra/node/engine-settings.ts';
import { zeroInputs } from '../../infra/node/tensors.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { mean, rounded } from '../local/statistics.ts';
import { dayShape, gammaArrivals, uniforms } from './arrivals.ts';
import type { ClientAnswer, ClientRound } from './client-thread.ts';
import { nodeUnderTest } from './node-under-test.ts';
import type { OpenLoopAnswer, OpenLoopRound } from './open-loop-thread.ts';
import { binaryRequest } from './requests.ts';
import { threads } from './threads.ts';
import { timesAlone } from './times-alone.ts';

export interface BurstOptions {
  readonly artifact: string;
  readonly workers: number;
  readonly maxBatch: number;
  /** Of each part. */
  readonly seconds: number;
  /**
   * Policies take turns at slices of a load this long: where a machine's speed swings, all of them meet with it. A slice ends with its
   * last answer, so none begins with a queue; what the node has measured and packed it takes from turn to turn.
   */
  readonly slice: number;
  /** Mean load, as a share of what the dense level holds. */
  readonly load: number;
  /** Budgets in ms, asked for in equal shares; multiples of what one row usually takes at the dense level unless told. */
  readonly budgetsMs?: readonly number[] | undefined;
}

interface Policy {
  readonly name: string;
  /** The level to ask for within a budget, and how far down the node may step. */
  choose(budgetMs: number): { level: number; minLevel: number };
}

/** Times what one row usually takes at the dense level. */
const BUDGETS = [5, 10, 20];
/** Of each policy, before anything counts. */
const WARM_UP_MS = 1000;

export async function burst(options: BurstOptions) {
  const { workers, maxBatch, seconds, slice, load } = options;
  // The clients share the node's cores: what the engine does for them beside requests would take both for tens of milliseconds.
  setUpEngine();
  const { manifest } = await openArtifact(options.artifact);
  const dense = manifest.levels.length - 1;
  const node = await nodeUnderTest(options.artifact, [
    ...['--workers', String(workers), '--max-batch', String(maxBatch)],
    ...['--queue-limit', '4096'],
  ]);
  const closed = await threads<ClientRound, ClientAnswer>('client-thread.ts', 1, undefined);
  const open = await threads<OpenLoopRound, OpenLoopAnswer>('open-loop-thread.ts', 1, undefined);
  const saturate = async (level: number) => {
    const request = binaryRequest(manifest, zeroInputs(manifest.inputs), level);
    const { requestsMs, tookMs } = await closed.ask[0]!({
      port: node.port,
      request,
      connections: 2 * workers * maxBatch,
      ms: 2000,
    });
    return (requestsMs.length * 1000) / tookMs;
  };
  const capacity = { dense: await saturate(dense), sparsest: await saturate(0) };
  const alone = timesAlone((await node.report()).models[0]?.levels ?? [], dense + 1);
  const denseMs = alone[dense]!.p50Ms;
  const budgetsMs = options.budgetsMs ?? BUDGETS.map((times) => rounded(times * denseMs, 1));
  const statics = [...new Set([0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * dense)))];
  const policies: Policy[] = [
    { name: 'ours', choose: () => ({ level: dense, minLevel: 0 }) },
    {
      name: 'always what was asked',
      choose: (budgetMs) => {
        const fits = alone.findLastIndex(({ p95Ms }) => p95Ms <= budgetMs);
        return { level: Math.max(0, fits), minLevel: Math.max(0, fits) };
      },
    },
    ...statics.map((level) => ({ name: `static ${level}`, choose: () => ({ level, minLevel: level }) })),
  ];
  const rate = load * capacity.dense;
  const loads = [
    ...[1, 4, 8].map((cv2) => ({ name: `CV^2 ${cv2}`, arrivals: gammaArrivals(cv2, rate, cv2, seconds) })),
    { name: 'a day', arrivals: gammaArrivals(11, rate, 2, 2 * seconds, dayShape) },
  ];
  const serve = async (policy: Policy, schedule: OpenLoopRound['schedule']) => {
    const requests = budgetsMs.map((budgetMs) => request(manifest, policy, budgetMs));
    return (await open.ask[0]!({ port: node.port, requests, schedule })).outcomes;
  };
  // Whoever comes first would meet a client and a node that are still being compiled.
  for (const policy of policies)
    await serve(
      policy,
      (loads[0]?.arrivals ?? [])
        .filter((atMs) => atMs < WARM_UP_MS)
        .map((atMs, i) => ({ atMs, kind: i % budgetsMs.length })),
    );
  const results = [];
  for (const { name, arrivals } of loads) {
    const uniform = uniforms(7);
    const kinds = arrivals.map(() => Math.floor(uniform() * budgetsMs.length));
    const outcomesOf = policies.map((): OpenLoopAnswer['outcomes'][number][] => []);
    for (const [turn, part] of slices(arrivals, slice * 1000).entries())
      for (const first of policies.keys()) {
        // Each turn begins with another one.
        const at = (first + turn) % policies.length;
        const schedule = part.map(({ atMs, index }) => ({ atMs, kind: kinds[index] ?? 0 }));
        outcomesOf[at]?.push(...(await serve(policies[at]!, schedule)));
      }
    const rows = policies.map((policy, at) => ({
      policy: policy.name,
      ...score(manifest, outcomesOf[at] ?? [], kinds, budgetsMs),
    }));
    const ours = rows[0]!;
    const rivals = rows.filter(
      ({ policy, attainment }) => policy.startsWith('static') && attainment >= ours.attainment,
    );
    const best = rivals.toSorted((a, b) => b.meanQuality - a.meanQuality)[0];
    results.push({
      load: name,
      requests: arrivals.length,
      peakPerS: peakRate(arrivals, 1000),
      rows,
      bestStaticOfSameAttainment: best?.policy ?? 'none',
    });
  }
  await node.stop();
  await Promise.all([closed.end(), open.end()]);
  return {
    artifact: manifest.model.id,
    workers,
    maxBatch,
    seconds,
    ratePerS: rounded(rate, 1),
    capacityPerS: { dense: rounded(capacity.dense, 1), sparsest: rounded(capacity.sparsest, 1) },
    budgetsMs,
    results,
  };
}

/** Arrivals cut at even times, each part with times of its own and the places of its arrivals in the whole. */
function slices(arrivals: readonly number[], lengthMs: number): { atMs: number; index: number }[][] {
  const parts = new Map<number, { atMs: number; index: number }[]>();
  for (const [index, atMs] of arrivals.entries()) {
    const at = Math.floor(atMs / lengthMs);
    const part = parts.get(at) ?? [];
    part.push({ atMs: atMs - at * lengthMs, index });
    parts.set(at, part);
  }
  return [...parts.values()];
}

function request(manifest: Manifest, policy: Policy, budgetMs: number): Uint8Array {
  const { level, minLevel } = policy.choose(budgetMs);
  return binaryRequest(manifest, zeroInputs(manifest.inputs), level, {
    'X-Latency-Budget': `${budgetMs}ms`,
    'X-Path-Min-Level': String(minLevel),
  });
}

function score(
  manifest: Manifest,
  outcomes: OpenLoopAnswer['outcomes'],
  kinds: readonly number[],
  budgetsMs: readonly number[],
) {
  const kept = outcomes.filter(
    ({ status, ms }, i) => status === 200 && ms <= (budgetsMs[kinds[i] ?? 0] ?? 0),
  );
  const quality = kept.map(({ level }) => manifest.levels[level]?.quality.value ?? 0);
  return {
    attainment: rounded(kept.length / outcomes.length, 4),
    /** Of those answered in time. */
    meanQuality: rounded(mean(quality), 4),
    /** Over all, where a request that was not answered in time counts 0. */
    qualityOverAll: rounded(quality.reduce((a, b) => a + b, 0) / outcomes.length, 4),
    refused: outcomes.filter(({ status }) => status !== 200 && status !== 0).length,
    failed: outcomes.filter(({ status }) => status === 0).length,
  };
}

/** The most arrivals a second in any window. */
function peakRate(arrivals: readonly number[], windowMs: number): number {
  let most = 0;
  for (let from = 0, to = 0; to < arrivals.length; to++) {
    while ((arrivals[to] ?? 0) - (arrivals[from] ?? 0) > windowMs) from++;
    most = Math.max(most, to - from + 1);
  }
  return rounded((most * 1000) / windowMs, 1);
}

export function burstReport(result: Awaited<ReturnType<typeof burst>>): string {
  const { capacityPerS: c, ...r } = result;
  const lines = [
    `${r.artifact}; ${r.workers} worker threads, batches to ${r.maxBatch}; budgets of ${r.budgetsMs.join(', ')} ms in equal shares`,
    `the dense level holds ${c.dense} requests/s, the sparsest ${c.sparsest}; mean load ${r.ratePerS}/s`,
  ];
  for (const { load, requests, peakPerS, rows, bestStaticOfSameAttainment } of r.results) {
    lines.push('', `${load}: ${requests} requests, up to ${peakPerS} in a second`);
    lines.push('  policy                  attained   mean quality   over all   refused   failed');
    for (const row of rows)
      lines.push(
        `  ${row.policy.padEnd(22)}  ${row.attainment.toFixed(4)}     ${row.meanQuality.toFixed(4)}         ${row.qualityOverAll.toFixed(4)}     ${String(row.refused).padStart(7)}   ${String(row.failed).padStart(6)}`,
      );
    lines.push(`  best static level that attains as much: ${bestStaticOfSameAttainment}`);
  }
  return `${lines.join('\n')}\n`;
}
