/**
 * What it costs to change the level between two requests, both levels in memory: requests at one level right after one at
 * the same level, beside requests at it right after one at another. Runs are short, so that a millisecond shows.
 */
import { zeroInputs } from '../../infra/node/tensors.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { quantileOf, rounded } from '../local/statistics.ts';
import { connect, exchange } from './http-exchange.ts';
import { nodeUnderTest } from './node-under-test.ts';
import { binaryRequest } from './requests.ts';

export interface LevelChangeOptions {
  readonly artifact: string;
  readonly workers: number;
  /** Of each kind. */
  readonly samples: number;
}

export async function levelChange({ artifact, workers, samples }: LevelChangeOptions) {
  const { manifest } = await openArtifact(artifact);
  const node = await nodeUnderTest(artifact, ['--workers', String(workers)]);
  const socket = await connect(node.port);
  const requests = manifest.levels.map(({ level }) =>
    binaryRequest(manifest, zeroInputs(manifest.inputs), level),
  );
  const ask = async (level: number): Promise<number> => {
    const begunMs = performance.now();
    const { status } = await exchange(socket, requests[level] ?? new Uint8Array(0));
    if (status !== 200) throw new Error(`level ${level} was answered with ${status}`);
    return performance.now() - begunMs;
  };
  // The first run of a level on a thread makes its session.
  for (const { level } of manifest.levels) for (let i = 0; i < 3 * workers; i++) await ask(level);

  const stay: number[] = [];
  const change: number[] = [];
  /** Of one sample of each kind at the same level, so that levels and a machine that slows down cancel out. */
  const added: number[] = [];
  for (let i = 0; i < samples; i++) {
    const level = i % manifest.levels.length;
    const other = (level + 1 + (i % (manifest.levels.length - 1))) % manifest.levels.length;
    await ask(level);
    const stayed = await ask(level);
    await ask(other);
    const changed = await ask(level);
    stay.push(stayed);
    change.push(changed);
    added.push(changed - stayed);
  }
  socket.destroy();
  await node.stop();
  const of = (values: readonly number[]) => ({
    p50: rounded(quantileOf(values, 0.5)),
    p95: rounded(quantileOf(values, 0.95)),
  });
  return {
    artifact: manifest.model.id,
    levels: manifest.levels.length,
    workers,
    samples,
    sameLevelMs: of(stay),
    otherLevelMs: of(change),
    addedMs: of(added),
  };
}

export function levelChangeReport(result: Awaited<ReturnType<typeof levelChange>>): string {
  const { sameLevelMs: s, otherLevelMs: o, addedMs: a, ...r } = result;
  return [
    `${r.artifact}, all ${r.levels} levels in memory; ${r.workers} worker threads; ${r.samples} requests of each kind, over all levels`,
    '',
    'a request, ms                        p50     p95',
    `  after one at the same level     ${s.p50}   ${s.p95}`,
    `  after one at another level      ${o.p50}   ${o.p95}`,
    `  added, pair by pair             ${a.p50}   ${a.p95}`,
    '',
  ].join('\n');
}
