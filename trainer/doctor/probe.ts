/** Child process of the doctor: `probe.ts BACKEND MODEL SECONDS` prints one line of JSON, or its reason on stderr. */
import { z } from 'zod';
import { backendNames } from '../engine/backend-names.ts';
import { createMaskEngine } from '../engine/mask-engine.ts';
import type { Graph } from '../graph/graph.ts';
import { readOnnxFile } from '../graph/onnx-load.ts';
import { ortModel } from '../graph/ort-model.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { computeThreads } from '../runtime/compute.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import { batchOf, probeStep } from './probe-step.ts';

const argumentsSchema = z.tuple([z.enum(backendNames), z.string(), z.coerce.number().positive()]);

async function probe(): Promise<void> {
  const [backend, path, seconds] = argumentsSchema.parse(process.argv.slice(2));
  const model = await preparePairs(readOnnxFile(path), path);
  const { batch, length } = await acceptedSize(model.graph, batchOf(model.graph));
  const dense = await answerDims(model.graph, { batch, length });
  const step = probeStep(model, { batch, length }, dense);
  const engine = await createMaskEngine({ graph: model.graph, pairs: model.pairs, backend });
  // The first step starts what is slow to start.
  const { loss } = await engine.step(step);
  const times: number[] = [];
  const until = performance.now() + seconds * 1000;
  do {
    const started = performance.now();
    await engine.step(step);
    times.push(performance.now() - started);
  } while (performance.now() < until);
  times.sort((a, b) => a - b);
  const stepMs = times[Math.floor(times.length / 2)];
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  const { workers } = engine;
  process.stdout.write(`${JSON.stringify({ workers, steps: times.length, stepMs, peakBytes, loss })}\n`);
}

type Size = { batch: number; length: number };

/** Position tables may end before the length that is tried first. */
async function acceptedSize(graph: Graph, { batch, length }: Size): Promise<Size> {
  for (const shorter of [length, length / 2, length / 4]) {
    const size = { batch, length: shorter };
    const fits = await answerDims(graph, size).then(
      () => true,
      () => false,
    );
    if (fits) return size;
  }
  return { batch, length: 8 };
}

async function answerDims(graph: Graph, size: Size): Promise<readonly number[]> {
  const session = await createOrtSession(ortModel(graph), { threads: computeThreads() });
  const [output] = session.outputs;
  const results = await session.run(sampleInputs(graph, size, 1)).finally(() => session.close());
  return results[output ?? '']?.dims ?? [];
}

try {
  await probe();
  // An open GPU device keeps the process alive.
  process.exit(0);
} catch (error) {
  process.stderr.write(`probe: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}\n`);
  process.exit(1);
}
