/** Lanes of the tfjs engine: a worker thread each, with its own backend; native backends run as one, in the calling thread. */
import type { Graph } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { isNative, startBackend } from './backend.ts';
import type { TfjsBackendName } from './backend-names.ts';
import { type Lane, type LaneWork, startLanes } from './lane.ts';
import { sharedFloats } from './shared-floats.ts';
import { createTfjsProgram, type TfjsProgramOptions } from './tfjs-program.ts';
import type { TfjsWorkerData } from './tfjs-worker.ts';
import { startThread } from './thread.ts';

export interface TfjsLanesOptions {
  readonly backend: TfjsBackendName;
  readonly graph: Graph;
  readonly program: TfjsProgramOptions;
  /** By weight, in shared memory. */
  readonly weights: readonly Float32Array[];
  readonly workers: number;
}

/** @throws `backend-unavailable`, `unsupported-op` listing the operators that are missing */
export async function createTfjsLanes(options: TfjsLanesOptions): Promise<Lane[]> {
  if (isNative(options.backend)) return [await inlineLane(options)];
  const { backend, graph, program, weights, workers } = options;
  const model = writeOnnx(graph);
  return startLanes(workers, async () => {
    const gradients = sharedFloats(weights.map(({ length }) => length));
    return startTfjsLane({ backend, model, program, weights: { values: weights, gradients } });
  });
}

/** A thread that lives in its own heap; nothing of it outlives its end. */
export async function startTfjsLane(data: TfjsWorkerData): Promise<Lane> {
  const script = new URL('./tfjs-worker.ts', import.meta.url);
  const thread = await startThread<LaneWork>(script, data, async (worker) => void (await worker.terminate()));
  return {
    weightGradients: data.weights.gradients,
    ask: (work) => thread.ask(work),
    close: () => thread.close(),
  };
}

/** Native backends run in this thread: their bindings are not made for worker threads. */
async function inlineLane({ backend, graph, program: options, weights }: TfjsLanesOptions): Promise<Lane> {
  await startBackend(backend);
  const program = createTfjsProgram(graph, options);
  const gradients = weights.map(({ length }) => new Float32Array(length));
  return {
    weightGradients: gradients,
    async ask({ shards, variants }) {
      for (const gradient of gradients) gradient.fill(0);
      const sums = [];
      for (const { masks } of variants)
        for (const shard of shards)
          sums.push(await program.run(shard, masks, { values: weights, gradients }));
      return sums;
    },
    close: async () => program.dispose(),
  };
}
