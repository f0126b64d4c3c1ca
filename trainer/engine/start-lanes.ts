/** The lanes of the first backend that works, of those that were asked for. */
import { SppError } from '../../schema/errors.ts';
import { keepFullPrecision } from '../../schema/full-precision.ts';
import { computeThreads } from '../runtime/compute.ts';
import { assertStarts } from '../runtime/provider-start.ts';
import { isNative } from './backend.ts';
import {
  type BackendName,
  candidateBackends,
  isOnnxruntime,
  keepsActivations,
  onnxruntimeProviders,
} from './backend-names.ts';
import type { EngineOptions, PassedOver } from './engine.ts';
import type { Lane } from './lane.ts';
import { MOST_WORKERS } from './lane-layout.ts';
import { createOnnxruntimeLanes } from './onnxruntime-lanes.ts';
import { sayingWhoElse } from './other-engine.ts';
import { createTfjsLanes } from './tfjs-lanes.ts';

/** Reasons for which another backend may do what this one cannot. */
const ANOTHER_MAY = ['unsupported-op', 'backend-unavailable'];

/** @throws what the last one throws, with the others' reasons in its hint */
export async function startLanes(
  options: EngineOptions,
  weights: ReadonlyMap<string, Float32Array>,
): Promise<{ backend: BackendName; lanes: Lane[]; passedOver: PassedOver[] }> {
  const passedOver: PassedOver[] = [];
  const candidates = candidateBackends(options.backend);
  for (const [i, backend] of candidates.entries()) {
    try {
      return { backend, lanes: await createLanes(backend, options, weights), passedOver };
    } catch (error) {
      const code = error instanceof SppError ? error.code : '';
      if (i === candidates.length - 1 || !ANOTHER_MAY.includes(code)) throw error;
      passedOver.push({ backend, reason: (error as SppError).message });
    }
  }
  throw new SppError('backend-unavailable', 'No backend is installed.', { hint: 'Run `npm ci`.' });
}

async function createLanes(
  backend: BackendName,
  options: EngineOptions,
  weights: ReadonlyMap<string, Float32Array>,
): Promise<Lane[]> {
  const { graph, pairs = [], nested, maskGradients = true } = options;
  if (isOnnxruntime(backend)) {
    const provider = onnxruntimeProviders[backend];
    if (provider === 'cuda') {
      keepFullPrecision();
      // Lanes start with the first step: too late to go on with another backend.
      await assertStarts(provider);
    }
    // A GPU's work comes from one queue.
    const workers = provider === 'cpu' ? checkedWorkers(options.workers) : 1;
    return createOnnxruntimeLanes({
      graph,
      pairs,
      maskGradients,
      weights,
      nesting: nested,
      provider,
      workers,
      threads: options.workerThreads ?? 1,
      recompute: options.recompute ?? false,
    }).catch((failure: unknown) => {
      throw sayingWhoElse(failure, graph);
    });
  }
  if (options.recompute) throw keepsActivations(backend);
  return createTfjsLanes({
    backend,
    graph,
    program: {
      sites: (nested?.pairs ?? pairs).map(({ maskSites }) => maskSites),
      maskGradients: maskGradients && nested === undefined,
      weights: [...weights.keys()],
    },
    weights: [...weights.values()],
    workers: isNative(backend) ? 1 : checkedWorkers(options.workers),
  });
}

function checkedWorkers(count = Math.min(MOST_WORKERS, computeThreads())): number {
  return checkedCount('workers', count);
}

/** @throws `usage` for what is no count */
export function checkedCount(what: string, count: number): number {
  if (Number.isInteger(count) && count >= 1) return count;
  throw new SppError('usage', `The number of ${what} must be a whole number from 1 on, not ${count}.`);
}
