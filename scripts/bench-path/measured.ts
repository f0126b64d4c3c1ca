/** Quality of levels on the test split, by the model's metric, and where it has one by a probe on labels. */

import { measuredGraph } from '../../trainer/build/answer.ts';
import { answersOf, finiteAnswersOf } from '../../trainer/build/answers.ts';
import type { CalibratedModel } from '../../trainer/build/calibrate-model.ts';
import type { LevelModel } from '../../trainer/build/level-stage.ts';
import { testAnswers } from '../../trainer/build/measure-levels.ts';
import type { BoundSplit } from '../../trainer/data/bind-dataset.ts';
import type { Graph } from '../../trainer/graph/graph.ts';
import { writeOnnx } from '../../trainer/graph/onnx-file.ts';
import { wilsonInterval } from '../../trainer/measure/interval.ts';
import { measureQuality } from '../../trainer/measure/quality.ts';
import { computeThreads } from '../../trainer/runtime/compute.ts';
import { type SessionPool, startSessionPool, weightBytes } from '../../trainer/runtime/session-pool.ts';
import { sizeAt } from '../../trainer/search/allocate.ts';
import { type BenchModel, PROBE } from './models.ts';
import { fitProbe, hitsOf, type Probe } from './probe.ts';
import type { Result } from './results.ts';
import type { Subject } from './subject.ts';

/** Examples that a thread computes at once. */
const BLOCK = 32;
/** Training examples that the probe is fitted on. */
const PROBED = 2048;

/** @param reachable of each level */
export async function qualities(
  subject: Subject,
  levels: readonly LevelModel[],
  reachable: readonly number[],
  samples: number,
  { metric, probe: probed }: Pick<BenchModel, 'metric' | 'probe'>,
): Promise<Result['levels']> {
  const { prepared, progress } = subject;
  const calibrated = await subject.calibrated('own');
  const { pool } = calibrated;
  const dense = await testAnswers(calibrated, samples);
  const sessions = startSessionPool(weightBytes(prepared.graph));
  const stage = progress.stage('measure', levels.length);
  const values: Result['levels'] = [];
  try {
    const probe = probed ? await probeOf(calibrated, sessions) : undefined;
    for (const [level, { cut, keep }] of levels.entries()) {
      const graph = measuredGraph(cut, pool.task);
      const quality = await measureQuality({
        task: pool.task.measure,
        model: writeOnnx(graph),
        output: pool.output,
        dense,
        split: pool.data.test,
        samples,
        block: Math.min(pool.block, BLOCK),
        sessions,
      });
      const widths = keep.map((units) => units.length);
      const size = sizeAt(prepared.pairs, widths, prepared);
      values.push({
        reachable: reachable[level] ?? 1,
        flops: size.flops / prepared.flops,
        params: size.params / prepared.params,
        ...metric.of(quality),
        ...(probe
          ? { others: { [PROBE]: await probeAccuracy(probe, graph, calibrated, samples, sessions) } }
          : {}),
      });
      stage.update(values.length);
    }
    stage.finish();
    return values;
  } finally {
    await sessions.close();
    await dense.close();
  }
}

const first = (count: number, split: BoundSplit) =>
  Array.from({ length: Math.min(count, split.count) }, (_, i) => i);
const labelsOf = (split: BoundSplit, indices: readonly number[]) =>
  split.labels?.(indices) ?? new Int32Array(0);

/** Fitted on the dense model's embeddings of training examples. */
async function probeOf({ pool, dense }: CalibratedModel, sessions: SessionPool): Promise<Probe> {
  const { train } = pool.data;
  const indices = pool.indices.slice(0, PROBED);
  const asked = { split: train, indices, block: BLOCK, threads: computeThreads(), sessions };
  return fitProbe(await finiteAnswersOf(dense, asked), labelsOf(train, indices));
}

/** The probe's accuracy on a level's embeddings of test examples, %. */
async function probeAccuracy(
  probe: Probe,
  graph: Graph,
  { pool }: CalibratedModel,
  samples: number,
  sessions: SessionPool,
) {
  const { test } = pool.data;
  const indices = first(samples, test);
  const asked = { split: test, indices, block: BLOCK, threads: computeThreads(), sessions };
  const hits = hitsOf(probe, await answersOf(graph, asked), labelsOf(test, indices));
  const right = hits.filter((hit) => hit).length;
  const { low, high } = wilsonInterval(right, hits.length);
  return { value: (100 * right) / hits.length, low: 100 * low, high: 100 * high };
}
