/**
 * On what this process computes: how many threads it takes, and which of onnxruntime's execution providers run forward passes.
 * Set once by a command, before anything is computed; all cores and the cpu otherwise.
 */
import { availableParallelism } from 'node:os';
import type { Provider } from './ort-session.ts';

export const providers = ['cpu', 'cuda', 'webgpu'] as const satisfies readonly Provider[];

const chosen: { threads: number; provider: Provider } = {
  threads: availableParallelism(),
  provider: 'cpu',
};

/** @param settings what differs from what was chosen so far */
export function computeOn(settings: { readonly threads?: number; readonly provider?: Provider }): void {
  Object.assign(chosen, settings);
}

/** Threads for what runs alone. */
export function computeThreads(): number {
  return chosen.threads;
}

/** What runs forward passes over many examples. */
export function computeProvider(): Provider {
  return chosen.provider;
}
