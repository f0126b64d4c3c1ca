/**
 * Child process of `bench:engine --device`: `on-device.ts MODEL PROVIDER SECONDS BATCH` times one model on the cpu and on a GPU
 * provider, and prints one line of JSON for each side as soon as it is known.
 */
import { availableParallelism } from 'node:os';
import { createEngine } from '../../trainer/engine/create-engine.ts';
import type { EngineGradients } from '../../trainer/engine/engine.ts';
import { writeOnnx } from '../../trainer/graph/onnx-file.ts';
import { relativeError } from '../../trainer/graph/relative-error.ts';
import { trainableWeights } from '../../trainer/graph/trainable-weights.ts';
import { createOrtSession, type Provider } from '../../trainer/runtime/ort-session.ts';
import { median } from '../local/statistics.ts';
import { type GpuUse, sampleGpu } from './gpu-samples.ts';
import { deitModels, fileModels, loadBenchModel } from './shapes.ts';
import { type Work, workOf } from './sides.ts';

export interface DeviceSide {
  readonly side: 'forward' | 'masks' | 'weights';
  readonly provider: Provider;
  readonly runs: number;
  readonly medianMs: number;
  /** Of gradients and loss, against the cpu's. */
  readonly worstError?: number;
  readonly gpu?: GpuUse;
}

type Gradients = readonly (readonly [name: string, values: Float32Array])[];
const MOST_RUNS = 30;
/** Beside the largest gradient. */
const ROUNDING = 1e-6;

const [name = '', device = '', seconds = '3', batch = '0'] = process.argv.slice(2);
const given = { ...fileModels, ...deitModels }[name];
if (given === undefined) throw new Error(`unknown model ${name}`);
const model = await loadBenchModel(name, given);
const work = await workOf(model, Number(batch) || given.batch, given.length, availableParallelism());
const providers: readonly Provider[] = ['cpu', device as Provider];

for (const provider of providers) {
  // What runs alone and is not a thread blocks this one: nothing is sampled beside it.
  const session = await createOrtSession(writeOnnx(model.graph), { threads: work.threads, provider });
  await session.run(work.step.feeds);
  const times = await timed(() => session.run(work.step.feeds));
  await session.close();
  tell({ side: 'forward', provider, ...times });
}
for (const side of ['masks', 'weights'] as const) {
  let reference: Gradients | undefined;
  for (const provider of providers) {
    const { gradients, ...found } = await timedStep(work, side, provider);
    const worst = reference && worstError(gradients, reference);
    reference ??= gradients;
    tell({ side, provider, ...found, ...(worst !== undefined && { worstError: worst }) });
  }
}
// An open GPU device keeps the process alive.
process.exit(0);

async function timedStep(
  { model: { graph, pairs }, step, threads }: Work,
  side: 'masks' | 'weights',
  provider: Provider,
) {
  const engine = await createEngine({
    graph,
    backend: provider === 'cpu' ? 'onnxruntime' : `onnxruntime-${provider}`,
    workers: threads,
    ...(side === 'masks' ? { pairs } : { weights: trainableWeights(graph) }),
  });
  const masks = pairs.map(({ units }) => Float32Array.from({ length: units }, (_, i) => 1 - (i % 3) / 10));
  const asked = side === 'masks' ? { ...step, masks } : step;
  const gradients = copied(await engine.step(asked));
  const stop = provider === 'cpu' ? async () => undefined : sampleGpu();
  const times = await timed(() => engine.step(asked));
  const gpu = await stop();
  await engine.close();
  return { gradients, ...times, ...(gpu && { gpu }) };
}

/** The next step writes into the same arrays. */
function copied({ loss, masks, weights }: EngineGradients): Gradients {
  return [
    ['loss', Float32Array.of(loss)],
    ...masks.map((values, i) => [`mask ${i}`, values.slice()] as const),
    ...[...weights].map(([weight, values]) => [weight, values.slice()] as const),
  ];
}

/** Among arrays that hold more than rounding: a key's bias, for one, has no influence on a softmax. */
function worstError(found: Gradients, reference: Gradients): number {
  const peak = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const peaks = reference.map(([, values]) => peak(values));
  const least = Math.max(...peaks.slice(1)) * ROUNDING;
  const errors = reference.flatMap(([, values], i) =>
    (peaks[i] as number) > least ? [relativeError(found[i]?.[1] ?? [], values).relative] : [],
  );
  return Math.max(...errors);
}

async function timed(run: () => Promise<unknown>): Promise<{ runs: number; medianMs: number }> {
  const each: number[] = [];
  const until = performance.now() + Number(seconds) * 1000;
  do {
    const started = performance.now();
    await run();
    each.push(performance.now() - started);
  } while (performance.now() < until && each.length < MOST_RUNS);
  return { runs: each.length, medianMs: median(each) };
}

function tell(side: DeviceSide): void {
  process.stdout.write(`${JSON.stringify(side)}\n`);
}
