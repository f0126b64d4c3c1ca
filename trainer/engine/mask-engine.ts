/** The engine as the search uses it: masks in, the gradients of masks out. */
import { createEngine } from './create-engine.ts';
import type { EngineOptions, EngineStep, MaskedPair, PassedOver } from './engine.ts';
import type { MemoryLimits } from './memory-limits.ts';

export type { MaskedPair } from './engine.ts';

export interface MaskStep extends Pick<EngineStep, 'feeds' | 'loss'> {
  /** One per pair, [units]. */
  readonly masks: readonly Float32Array[];
}

export interface MaskGradients {
  /** Mean over the output's rows that count; NaN or infinite when the computation left the finite numbers: the caller decides. */
  readonly loss: number;
  /** One per pair, summed over that pair's sites, of the mean loss. */
  readonly gradients: readonly Float32Array[];
}

export interface MaskEngine {
  readonly backend: string;
  readonly passedOver: readonly PassedOver[];
  readonly workers: number;
  /** As the engine's. */
  step(step: MaskStep): Promise<MaskGradients>;
  limits(): MemoryLimits;
  limit(limits: MemoryLimits): void;
  close(): Promise<void>;
}

export interface MaskEngineOptions extends Omit<EngineOptions, 'weights' | 'nested' | 'maskGradients'> {
  readonly pairs: readonly MaskedPair[];
}

/** @throws what `createEngine` throws */
export async function createMaskEngine(options: MaskEngineOptions): Promise<MaskEngine> {
  const engine = await createEngine(options);
  return {
    backend: engine.backend,
    passedOver: engine.passedOver,
    workers: engine.workers,
    async step(step) {
      const { loss, masks } = await engine.step(step);
      return { loss, gradients: masks };
    },
    limits: () => engine.limits(),
    limit: (limits) => engine.limit(limits),
    close: () => engine.close(),
  };
}
