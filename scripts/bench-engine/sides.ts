/** What is timed: the plain forward pass in two layouts, and steps of an engine. Each side is a function of one run. */
import { once } from 'node:events';
import { type BackendName, isOnnxruntime } from '../../trainer/engine/backend-names.ts';
import { createEngine } from '../../trainer/engine/create-engine.ts';
import type { EngineStep } from '../../trainer/engine/engine.ts';
import { splitBatch } from '../../trainer/engine/shard.ts';
import { startThread } from '../../trainer/engine/thread.ts';
import { elementCount, type Tensor } from '../../trainer/graph/graph.ts';
import { writeOnnx } from '../../trainer/graph/onnx-file.ts';
import { trainableWeights } from '../../trainer/graph/trainable-weights.ts';
import type { TracedModel } from '../../trainer/pairs/prepare.ts';
import { createOrtSession } from '../../trainer/runtime/ort-session.ts';
import { sampleInputs } from '../../trainer/runtime/sample-inputs.ts';

export interface Side {
  readonly name: string;
  run(): Promise<unknown>;
  close(): Promise<void>;
}

export interface Work {
  readonly model: TracedModel;
  readonly step: EngineStep;
  readonly threads: number;
}

export async function workOf(
  model: TracedModel,
  batch: number,
  length: number,
  threads: number,
): Promise<Work> {
  const { graph } = model;
  const output = graph.outputs[0]?.name ?? '';
  const feeds = sampleInputs(graph, { batch, length }, 1);
  const session = await createOrtSession(writeOnnx(graph), { threads });
  const dense = (await session.run(feeds))[output] as Tensor;
  await session.close();
  const data = Float32Array.from({ length: elementCount(dense.dims) }, (_, i) => Math.sin(i));
  return { model, threads, step: { feeds, loss: { kind: 'kl', output, teacher: { ...dense, data } } } };
}

/** One session on all threads. */
export async function forwardSide({ model, step, threads }: Work): Promise<Side> {
  const session = await createOrtSession(writeOnnx(model.graph), { threads });
  return { name: 'forward', run: () => session.run(step.feeds), close: () => session.close() };
}

/** A session a thread, each with its share of the batch. */
export async function forwardLanesSide({ model, step, threads }: Work): Promise<Side> {
  const script = new URL('./forward-worker.ts', import.meta.url);
  const bytes = writeOnnx(model.graph);
  const lanes = await Promise.all(
    Array.from({ length: threads }, () =>
      startThread<Record<string, Tensor> | 'end'>(script, bytes, async (worker) => {
        const ended = once(worker, 'exit');
        worker.postMessage('end');
        await ended;
      }),
    ),
  );
  const shards = splitBatch(step, threads, Object.keys(step.feeds));
  return {
    name: 'forward, lanes',
    run: () => Promise.all(shards.map(({ feeds }, lane) => lanes[lane]?.ask({ ...feeds }))),
    close: async () => void (await Promise.all(lanes.map((lane) => lane.close()))),
  };
}

export async function stepSide(
  { model, step, threads }: Work,
  what: 'masks' | 'weights',
  backend: BackendName,
  recompute = false,
): Promise<Side> {
  const { graph, pairs } = model;
  const engine = await createEngine({
    graph,
    backend,
    workers: threads,
    recompute,
    ...(what === 'masks' ? { pairs } : { weights: trainableWeights(graph) }),
  });
  const masks = pairs.map(({ units }) => new Float32Array(units).fill(1));
  const asked = what === 'masks' ? { ...step, masks } : step;
  return {
    name: isOnnxruntime(backend) ? `${what}${recompute ? ', recomputed' : ''}` : `${what}, ${backend}`,
    run: () => engine.step(asked),
    close: () => engine.close(),
  };
}
