/**
 * Lanes of the onnxruntime engine: the gradient graph is written once a loss, and each thread runs it in a session of its own on one
 * core unless it is told otherwise (`lane-layout.ts`).
 */
import { once } from 'node:events';
import { type Facts, factsOf } from '../autodiff/facts.ts';
import { gradientGraph } from '../autodiff/gradient-graph.ts';
import type { MaskedUnits } from '../autodiff/masked-forward.ts';
import { type Nesting, nestForward } from '../autodiff/nested-forward.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { discardModel } from '../graph/ort-model.ts';
import { int64 } from '../graph/rewrite.ts';
import { traceGraph, traceOnce } from '../graph/trace.ts';
import type { Provider } from '../runtime/ort-session.ts';
import { type Lane, type LaneWork, startLanes } from './lane.ts';
import type { LossTarget } from './loss.ts';
import { type GradientModel, gradientModel } from './onnxruntime-program.ts';
import type { OnnxruntimeWork } from './onnxruntime-worker.ts';
import { sharedFloats } from './shared-floats.ts';
import { startThread } from './thread.ts';

type Loss = Pick<LossTarget, 'kind' | 'output'>;
type GradientModels = (loss: Loss, recompute: boolean) => GradientModel;

export interface OnnxruntimeLanesOptions {
  readonly graph: Graph;
  readonly pairs: readonly MaskedUnits[];
  readonly maskGradients: boolean;
  /** Names of the weights whose gradients are wanted, and their values in shared memory. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly nesting: Nesting | undefined;
  readonly provider: Provider;
  readonly workers: number;
  /** Of each worker. */
  readonly threads: number;
  /** As the first steps will ask for it. */
  readonly recompute: boolean;
}

/** @throws `unsupported-op` listing the operators without a gradient, `bad-model` when the graph does not run */
export async function createOnnxruntimeLanes(options: OnnxruntimeLanesOptions): Promise<Lane[]> {
  const { graph, pairs, maskGradients, weights } = options;
  const nested = await nest(graph, options.nesting);
  const names = [...weights.keys()];
  const made = new Map<string, GradientModel>();
  const modelOf: GradientModels = (loss, recompute) => {
    const key = `${keyOf(loss)} ${recompute}`;
    const known = made.get(key);
    if (known) return known;
    const { kind, output } = loss;
    const asked = { ...nested, pairs, maskGradients, weights: names, recompute };
    const model = gradientModel(gradientGraph({ ...asked, loss: { kind, output } }), {
      inputs: graph.inputs,
      widths: nested.widths,
      weights: names.map((name) => ({ name, dims: graph.initializers.get(name)?.dims ?? [] })),
    });
    made.set(key, model);
    return model;
  };
  // What has no gradient is said now; steps mostly ask for this very output.
  const [first] = graph.outputs;
  if (first) modelOf({ kind: 'kl', output: first.name }, options.recompute);
  const values = [...weights.values()];
  const discard = () => {
    for (const model of made.values()) discardModel(model);
  };
  try {
    const lanes = await startLanes(options.workers, () => startLane(modelOf, values, options));
    let open = lanes.length;
    return lanes.map((lane) => ({
      ...lane,
      async close() {
        await lane.close();
        if (--open === 0) discard();
      },
    }));
  } catch (failure) {
    discard();
    throw failure;
  }
}

/** The graph with widths as inputs, and what is known of its values: lengths that change with a width are free. */
async function nest(
  graph: Graph,
  nesting: Nesting | undefined,
): Promise<{ graph: Graph; facts: Facts; widths: readonly string[] }> {
  if (nesting === undefined) {
    const { traces } = await traceGraph(graph, 'the model', () => false);
    return { graph, facts: factsOf(traces), widths: [] };
  }
  const nested = nestForward(graph, nesting);
  // Inputs of integers are drawn as ones: the narrowest. The other end is given.
  const { traces, sizes } = await traceGraph(nested.graph, 'the model', () => false);
  const whole = nested.widths.map((name, pair): [string, Tensor] => [
    name,
    int64([nesting.pairs[pair]?.units ?? 0]),
  ]);
  const last = await traceOnce(nested.graph, sizes.traced[0], Object.fromEntries(whole));
  return { ...nested, facts: factsOf([...traces, last]) };
}

async function startLane(
  modelOf: GradientModels,
  values: readonly Float32Array[],
  { provider, threads }: Pick<OnnxruntimeLanesOptions, 'provider' | 'threads'>,
): Promise<Lane> {
  const script = new URL('./onnxruntime-worker.ts', import.meta.url);
  const gradients = sharedFloats(values.map(({ length }) => length));
  // A thread that is stopped inside onnxruntime takes the process with it, so it is asked to end.
  const thread = await startThread<OnnxruntimeWork>(
    script,
    { provider, threads, weights: { values, gradients } },
    async (worker) => {
      const ended = once(worker, 'exit');
      worker.postMessage('end' satisfies OnnxruntimeWork);
      await ended;
    },
  );
  /** By loss, the form of its model that the thread has. */
  const sent = new Map<string, boolean>();
  return {
    weightGradients: gradients,
    async ask(work: LaneWork) {
      const [shard] = work.shards;
      if (shard === undefined) return [];
      const key = keyOf(shard.loss);
      const model = sent.get(key) === work.recompute ? {} : { model: modelOf(shard.loss, work.recompute) };
      const sums = await thread.ask({ key, ...model, ...work });
      sent.set(key, work.recompute);
      return sums;
    },
    close: () => thread.close(),
  };
}

function keyOf({ kind, output }: Loss): string {
  return `${kind} ${output}`;
}
