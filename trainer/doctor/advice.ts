/** From what a machine has and what was measured on it to what would make the trainer faster. */
import { type BackendName, backendNames, installHint } from '../engine/backend-names.ts';
import type { Machine } from './machine.ts';
import type { MeasuredBackend } from './measure.ts';

export interface Findings {
  readonly machine: Pick<Machine, 'cores' | 'cudaDevices' | 'vulkan'>;
  readonly installed: readonly BackendName[];
  /** What `--backend auto` takes. */
  readonly automatic: BackendName;
  readonly measured: readonly MeasuredBackend[];
}

/** By how much another backend must be faster before it is worth a word. */
const WORTH_A_WORD = 0.9;

/** Sentences, most useful first; none when nothing is to be done. */
export function adviceFor({ machine, installed, automatic, measured }: Findings): string[] {
  const advice: string[] = [];
  const timeOf = (name: BackendName) => measured.find(({ backend }) => backend === name)?.measurement?.stepMs;
  const missing = (name: BackendName) => !installed.includes(name);
  const fastest = backendNames
    .filter((name) => timeOf(name) !== undefined)
    .sort((a, b) => (timeOf(a) as number) - (timeOf(b) as number))[0];
  const own = timeOf(automatic);
  if (
    fastest &&
    fastest !== automatic &&
    (own === undefined || (timeOf(fastest) as number) < own * WORTH_A_WORD)
  )
    advice.push(`Use --backend ${fastest}: on this model it is the fastest here.`);
  if (machine.cudaDevices.length > 0) {
    const cuda = (['onnxruntime-cuda', 'tfjs-node-gpu'] as const).filter(missing);
    for (const name of cuda)
      advice.push(`There is an NVIDIA GPU: ${lower(installHint(name))} to measure ${name}.`);
  } else if (machine.vulkan.renderNodes.length > 0 && missing('webgpu')) {
    advice.push(`There is a GPU that Vulkan may use: ${lower(installHint('webgpu'))} to measure webgpu.`);
  }
  if (machine.cores <= 2 && machine.cudaDevices.length === 0)
    advice.push(
      `A step is spread over all cores, and this process may use ${machine.cores}: more cores are faster nearly in proportion.`,
    );
  for (const { backend, failure } of measured)
    if (failure !== undefined) advice.push(`${backend} does not work here: ${failure}`);
  return advice;
}

function lower(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}
