/** One step of the search on random inputs, of the size that a build takes where the model accepts it. */
import type { MaskStep } from '../engine/mask-engine.ts';
import { elementCount, type Graph } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { computeThreads } from '../runtime/compute.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';

/** Examples of a step: a build's, but of long inputs as many as have so many tokens. */
const BATCH = 64;
const LENGTH = 128;
const TOKENS = 2048;

/** @throws `bad-model` when the model runs on none of the sizes that are tried */
export async function stepFor(model: TracedModel): Promise<MaskStep> {
  const size = await acceptedSize(model.graph, batchOf(model.graph));
  return probeStep(model, size, await answerDims(model.graph, size));
}

type Size = { readonly batch: number; readonly length: number };

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

function batchOf(graph: Graph): Size {
  const free = graph.inputs.some(({ dims }) => dims.some((dim, axis) => axis > 0 && typeof dim === 'string'));
  return free ? { batch: Math.max(1, TOKENS / LENGTH), length: LENGTH } : { batch: BATCH, length: 1 };
}

/** With the output as its own teacher moved a little: the time is that of any other. */
function probeStep(
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
