/** How busy a GPU is, as `nvidia-smi` tells it, for as long as something runs. */
import { spawn } from 'node:child_process';

export interface GpuUse {
  readonly samples: number;
  /** Share of time in which the GPU computed, in %. */
  readonly meanUtilisation: number;
  readonly peakUtilisation: number;
  readonly peakMiB: number;
}

const EVERY_MS = 100;

/** Begins to sample; the answer ends it, and is undefined where the command does not exist or said nothing. */
export function sampleGpu(): () => Promise<GpuUse | undefined> {
  const child = spawn('nvidia-smi', [
    '--query-gpu=utilization.gpu,memory.used',
    '--format=csv,noheader,nounits',
    `--loop-ms=${EVERY_MS}`,
  ]);
  let text = '';
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('close', () => resolve());
  });
  child.stdout?.on('data', (chunk) => {
    text += String(chunk);
  });
  return async () => {
    child.kill();
    await ended;
    return readSamples(text);
  };
}

/** Lines of `utilisation, MiB`; several GPUs take turns, and the busiest line counts as any other. */
export function readSamples(text: string): GpuUse | undefined {
  const lines = text
    .split('\n')
    .map((line) => line.split(',').map(Number))
    .filter(([busy = Number.NaN, used = Number.NaN]) => Number.isFinite(busy) && Number.isFinite(used));
  if (lines.length === 0) return undefined;
  const busy = lines.map(([percent = 0]) => percent);
  return {
    samples: lines.length,
    meanUtilisation: busy.reduce((sum, percent) => sum + percent, 0) / busy.length,
    peakUtilisation: Math.max(...busy),
    peakMiB: Math.max(...lines.map(([, used = 0]) => used)),
  };
}
