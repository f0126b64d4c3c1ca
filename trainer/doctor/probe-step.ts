/** One step of the search on random inputs, of the size that a build takes. */
import type { MaskStep } from '../engine/mask-engine.ts';
import { elementCount, type Graph } from '../graph/graph.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';

/** Examples of a step: a build's, but of long inputs as many as have so many tokens. */
const BATCH = 64;
const LENGTH = 128;
const TOKENS = 2048;

export function batchOf(graph: Graph): { batch: number; length: number } {
  const free = graph.inputs.some(({ dims }) => dims.some((dim, axis) => axis > 0 && typeof dim === 'string'));
  return free ? { batch: Math.max(1, TOKENS / LENGTH), length: LENGTH } : { batch: BATCH, length: 1 };
}

/** With the output as its own teacher moved a little: the time is that of any other. */
export function probeStep(
  { graph, pairs }: TracedModel,
  size: { batch: number; length: number },
  teacherDims: readonly number[],
): MaskStep {
  const data = Float32Array.from({ length: elementCount(teacherDims) }, (_, i) => Math.sin(i));
  return {
    feeds: sampleInputs(graph, size, 1),
    masks: pairs.map(({ units }) => new Float32Array(units).fill(1)),
    loss: {
      kind: 'kl',
      output: graph.outputs[0]?.name ?? '',
      teacher: { dtype: 'float32', dims: teacherDims, data },
    },
  };
}
