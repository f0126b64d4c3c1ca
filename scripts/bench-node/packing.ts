/**
 * What packing the dense level saves of a run, and what of that is memory: runs of it packed, as it lies with the memory of runs kept,
 * and as it lies as the node has it, which gives that memory back.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { allocatorSettings } from '../../infra/node/allocator.ts';
import { zeroInputs } from '../../infra/node/tensors.ts';
import { openWeightFile } from '../../infra/node/weights/weight-file.ts';
import { openArtifact } from '../../schema/artifact/store.ts';
import { rounded } from '../local/statistics.ts';
import type { PackingRuns } from './packing-runs.ts';

export interface PackingOptions {
  readonly artifact: string;
  /** Most rows of a run; one row is measured, too. */
  readonly maxBatch: number;
  readonly runs: number;
}

const PROGRAM = fileURLToPath(new URL('packing-runs.ts', import.meta.url));
const run = promisify(execFile);

export async function packingGain({ artifact: location, maxBatch, runs }: PackingOptions) {
  const artifact = await openArtifact(location);
  const { manifest } = artifact;
  const directory = await mkdtemp(join(tmpdir(), 'spp-packing-'));
  const weights = await openWeightFile(artifact, directory, true);
  try {
    const model = await weights.model(manifest.levels.length - 1);
    const results = [];
    for (const count of new Set([1, maxBatch])) {
      const inputs = zeroInputs(manifest.inputs, count).feeds.map(({ name, type, dims }) => ({
        name,
        type,
        dims,
      }));
      const { stdout } = await run(process.execPath, [PROGRAM, model, JSON.stringify(inputs), String(runs)], {
        env: { ...process.env, ...allocatorSettings },
      });
      const kinds = JSON.parse(stdout) as PackingRuns[];
      const packedMs = kinds[0]?.cpuMs ?? Number.NaN;
      results.push({
        rows: count,
        kinds: kinds.map((kind) => ({ ...kind, toPacked: rounded(kind.cpuMs / packedMs) })),
      });
    }
    return { artifact: manifest.model.id, runs, results };
  } finally {
    await weights.close();
    await rm(directory, { recursive: true, force: true });
  }
}

export function packingReport({ artifact, runs, results }: Awaited<ReturnType<typeof packingGain>>): string {
  return [
    `${artifact}, dense level, one thread; medians of ${runs} runs`,
    'rows   weights                    CPU ms   to packed   system ms   page faults',
    ...results.flatMap(({ rows, kinds }) =>
      kinds.map(
        ({ kind, cpuMs, toPacked, systemMs, faults }) =>
          `${String(rows).padStart(4)}   ${kind.padEnd(24)}${cpuMs.toFixed(1).padStart(9)}${String(toPacked).padStart(12)}${systemMs.toFixed(1).padStart(12)}${String(faults).padStart(14)}`,
      ),
    ),
    '',
  ].join('\n');
}
