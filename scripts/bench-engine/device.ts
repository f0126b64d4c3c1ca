/** `bench:engine --device webgpu|cuda`: steps on a GPU provider beside the cpu's, each model in a process of its own, within a time limit. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { textTable } from '../../trainer/cli/table.ts';
import type { DeviceSide } from './on-device.ts';

export interface DeviceRun {
  readonly device: string;
  readonly models: readonly string[];
  /** For each side of each model. */
  readonly seconds: number;
  /** For all models together. */
  readonly limit: number;
  /** 0: each model's own. */
  readonly batch: number;
}

export interface DeviceResult {
  readonly sides: readonly DeviceSide[];
  /** Why sides are missing. */
  readonly failure?: string;
}

/** @param told what is known of a model, when it is done or has failed */
export async function benchDevice(
  { device, models, seconds, limit, batch }: DeviceRun,
  told: (model: string, result: DeviceResult) => void,
): Promise<void> {
  const until = performance.now() + limit * 1000;
  for (const model of models) {
    const left = until - performance.now();
    told(
      model,
      left > 0
        ? await runModel([model, device, String(seconds), String(batch)], Math.ceil(left))
        : { sides: [], failure: 'left out: the time limit was reached' },
    );
  }
}

async function runModel(settings: readonly string[], leftMs: number): Promise<DeviceResult> {
  const script = fileURLToPath(new URL('./on-device.ts', import.meta.url));
  const child = spawn(process.execPath, [script, ...settings], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: leftMs,
    killSignal: 'SIGKILL',
  });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += String(chunk);
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? `code ${code}`));
  });
  const sides: DeviceSide[] = [];
  for await (const line of createInterface({ input: child.stdout }))
    if (line.startsWith('{')) sides.push(JSON.parse(line) as DeviceSide);
  const end = await ended;
  if (end === 'code 0') return { sides };
  const words = errors.split('\n').find((line) => /Error/.test(line));
  return {
    sides,
    failure: `ended with ${end}: ${words ?? (end === 'SIGKILL' ? 'the time limit' : errors.slice(-300))}`,
  };
}

export function deviceReport(model: string, { sides, failure }: DeviceResult): string {
  const cpu = (side: string) => sides.find((each) => each.side === side && each.provider === 'cpu')?.medianMs;
  const rows = sides.map(({ side, provider, runs, medianMs, worstError, gpu }) => [
    side,
    provider,
    String(runs),
    medianMs.toFixed(1),
    ((cpu(side) ?? Number.NaN) / medianMs).toFixed(2),
    worstError === undefined ? '-' : worstError.toExponential(1),
    gpu ? `${gpu.meanUtilisation.toFixed(0)} / ${gpu.peakUtilisation}` : '-',
    gpu ? String(gpu.peakMiB) : '-',
  ]);
  const heads = [
    'side',
    'on',
    'runs',
    'median ms',
    'x faster',
    'gradient error',
    'GPU % mean / peak',
    'GPU MiB',
  ];
  return [model, textTable(heads, rows), ...(failure ? [failure] : [])].join('\n');
}
