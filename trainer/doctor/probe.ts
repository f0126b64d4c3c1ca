/** Child process of the doctor: `probe.ts BACKEND MODEL SECONDS` prints one line of JSON, or its reason on stderr. */
import { z } from 'zod';
import { backendNames } from '../engine/backend-names.ts';
import { fastestLayout } from '../engine/lane-layout.ts';
import { createMaskEngine } from '../engine/mask-engine.ts';
import { readOnnxFile } from '../graph/onnx-load.ts';
import { preparePairs } from '../pairs/prepare.ts';
import { computeThreads } from '../runtime/compute.ts';
import { stepFor } from './probe-step.ts';
import { timeLayouts } from './time-layouts.ts';

const argumentsSchema = z.tuple([z.enum(backendNames), z.string(), z.coerce.number().positive()]);

async function probe(): Promise<void> {
  const [backend, path, seconds] = argumentsSchema.parse(process.argv.slice(2));
  const { model, step } = await stepFor(await preparePairs(readOnnxFile(path), path));
  const layouts = backend === 'onnxruntime' ? await timeLayouts(model, step, computeThreads()) : [];
  const [first, ...more] = layouts;
  const layout = first && fastestLayout([first, ...more]);
  const engine = await createMaskEngine({
    graph: model.graph,
    pairs: model.pairs,
    backend,
    ...(layout && { workers: layout.workers, workerThreads: layout.threads }),
  });
  // The first step starts what is slow to start.
  await engine.step(step);
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
  const threads = layout?.threads ?? 1;
  process.stdout.write(
    `${JSON.stringify({ workers, threads, steps: times.length, stepMs, peakBytes, layouts })}\n`,
  );
}

try {
  await probe();
  // An open GPU device keeps the process alive.
  process.exit(0);
} catch (error) {
  process.stderr.write(`probe: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}\n`);
  process.exit(1);
}
