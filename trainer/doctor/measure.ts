/** Times steps of the search on a model of one's own, each backend in a process of its own: one that crashes or hangs takes none along. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import type { BackendName } from '../engine/backend-names.ts';

const measurementSchema = z.object({
  workers: z.int().min(1),
  /** Of each worker. */
  threads: z.int().min(1),
  steps: z.int().min(1),
  /** Median. */
  stepMs: z.number().positive(),
  peakBytes: z.number().positive(),
  /** Ways to spread a step over the cores that were tried before; none where there is no choice. */
  layouts: z.array(
    z.object({
      layout: z.object({ workers: z.int().min(1), threads: z.int().min(1) }),
      stepMs: z.number().positive(),
      typicalMs: z.number().positive(),
    }),
  ),
});

export type Measurement = z.infer<typeof measurementSchema>;

export interface MeasuredBackend {
  readonly backend: BackendName;
  readonly measurement?: Measurement;
  /** Why there is none. */
  readonly failure?: string;
}

/** For starting a process and a backend and for the first step, beside the time that is measured. */
const START_MS = 90_000;

/** @param seconds for the steps; one step is always made */
export async function measureBackend(
  backend: BackendName,
  modelPath: string,
  seconds: number,
): Promise<MeasuredBackend> {
  const script = fileURLToPath(new URL('./probe.ts', import.meta.url));
  const child = spawn(process.execPath, [script, backend, modelPath, String(seconds)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: START_MS + seconds * 1000,
    killSignal: 'SIGKILL',
  });
  const [output, errors] = await Promise.all([collect(child.stdout), collect(child.stderr), ended(child)]);
  const answer = output.trim().split('\n').at(-1) ?? '';
  const parsed = measurementSchema.safeParse(jsonOf(answer));
  if (parsed.success) return { backend, measurement: parsed.data };
  return { backend, failure: reasonIn(errors) ?? endOf(child) };
}

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

function ended(child: ReturnType<typeof spawn>): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('close', () => resolve());
    child.once('error', (cause) =>
      reject(new SppError('internal', `A process to measure in does not start: ${cause.message}`, { cause })),
    );
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function endOf({ killed, exitCode, signalCode }: ReturnType<typeof spawn>): string {
  if (killed) return `its first steps took more than ${START_MS / 1000} s`;
  return `its process ended with ${signalCode ?? `code ${exitCode}`} and no answer`;
}

/** The probe's own last words. */
function reasonIn(errors: string): string | undefined {
  const lines = errors.split('\n').filter((line) => line.startsWith('probe: '));
  return lines.at(-1)?.slice('probe: '.length);
}
