/** Child process of `bench:engine --scaling`: `scaling-point.ts SHAPE BATCH THREADS` times one shape and prints a line of JSON. */
import { preparePairs } from '../../trainer/pairs/prepare.ts';
import { median } from '../local/statistics.ts';
import { peakBytes } from './peak-bytes.ts';
import { randomVit, type VitShape } from './random-vit-graph.ts';
import { forwardLanesSide, type Side, stepSide, workOf } from './sides.ts';

export interface ScalingResult {
  readonly forwardMs: number;
  readonly masksMs: number;
  readonly weightsMs: number;
  /** What steps to all weights add to the process. */
  readonly bytes: number;
  /** Of one forward pass of the batch. */
  readonly flops: number;
}

const [shape = '{}', batch = '1', threads = '1'] = process.argv.slice(2);
/** Of each side, whose median counts. */
const RUNS = 3;
const model = await preparePairs(randomVit(JSON.parse(shape) as VitShape), 'vit');
const work = await workOf(model, Number(batch), 1, Number(threads));
// First, while nothing has been freed that it could take again.
const before = process.memoryUsage.rss();
const weightsMs = await medianOf(await stepSide(work, 'weights', 'onnxruntime'));
const bytes = peakBytes() - before;
const masksMs = await medianOf(await stepSide(work, 'masks', 'onnxruntime'));
const forwardMs = await medianOf(await forwardLanesSide(work));
const result: ScalingResult = { forwardMs, masksMs, weightsMs, bytes, flops: model.flops * Number(batch) };
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);

async function medianOf(side: Side): Promise<number> {
  await side.run();
  const each: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const started = performance.now();
    await side.run();
    each.push(performance.now() - started);
  }
  await side.close();
  return median(each);
}
