/**
 * Lanes of the onnxruntime engine: the gradient graph is written once a loss, and each thread runs it in a session of its own on one
 * core. One session on many cores is slower on small models (it waits after every operator), and a choice between the two by
 * stopwatch would make runs differ from each other in their last digits.
 */
import { once } from 'node:events';
import { factsOf } from '../autodiff/facts.ts';
import { maskGradientGraph } from '../autodiff/mask-gradient-graph.ts';
import type { MaskedUnits } from '../autodiff/masked-forward.ts';
import type { Graph } from '../graph/graph.ts';
import { traceGraph } from '../graph/trace.ts';
import { type Lane, startLanes } from './lane.ts';
import type { LossTarget } from './loss.ts';
import { startThread } from './mask-thread.ts';
import { type GradientModel, gradientModel } from './onnxruntime-program.ts';
import type { OnnxruntimeWork } from './onnxruntime-worker.ts';

type GradientModels = (loss: Pick<LossTarget, 'kind' | 'output'>) => GradientModel;

/** @throws `unsupported-op` listing the operators without a gradient, `bad-model` when the graph does not run */
export async function createOnnxruntimeLanes(
  graph: Graph,
  pairs: readonly MaskedUnits[],
  workers: number,
): Promise<Lane[]> {
  const { traces } = await traceGraph(graph, 'the model', () => false);
  const facts = factsOf(traces);
  const made = new Map<string, GradientModel>();
  const modelOf: GradientModels = (loss) => {
    const key = keyOf(loss);
    const known = made.get(key);
    if (known) return known;
    const { kind, output } = loss;
    const written = maskGradientGraph({ graph, facts, pairs, loss: { kind, output } });
    const model = gradientModel(written, graph.inputs);
    made.set(key, model);
    return model;
  };
  // What has no gradient is said now; steps mostly ask for this very output.
  const [first] = graph.outputs;
  if (first) modelOf({ kind: 'kl', output: first.name });
  return startLanes(workers, () => startLane(modelOf));
}

async function startLane(modelOf: GradientModels): Promise<Lane> {
  const script = new URL('./onnxruntime-worker.ts', import.meta.url);
  // A thread that is stopped inside onnxruntime takes the process with it, so it is asked to end.
  const thread = await startThread<OnnxruntimeWork>(script, undefined, async (worker) => {
    const ended = once(worker, 'exit');
    worker.postMessage('end' satisfies OnnxruntimeWork);
    await ended;
  });
  const sent = new Set<string>();
  return {
    async ask({ shards, masks }) {
      const [shard] = shards;
      if (shard === undefined) return [];
      const key = keyOf(shard.loss);
      const model = sent.has(key) ? {} : { model: modelOf(shard.loss) };
      const sums = await thread.ask({ key, ...model, shards, masks });
      sent.add(key);
      return sums;
    },
    close: () => thread.close(),
  };
}

function keyOf({ kind, output }: Pick<LossTarget, 'kind' | 'output'>): string {
  return `${kind} ${output}`;
}
