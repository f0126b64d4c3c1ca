/** One step of the search on random inputs, of the size that a build takes where the model accepts it. */
import { SppError } from '../../schema/errors.ts';
import type { MaskStep } from '../engine/mask-engine.ts';
import { elementCount, type Graph, type Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { keptPairs } from '../pairs/kept-pairs.ts';
import type { PreparedModel } from '../pairs/pair.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { computeThreads } from '../runtime/compute.ts';
import { createOrtSession, type OrtSession } from '../runtime/ort-session.ts';
import { type FreeSizes, sampleInputs } from '../runtime/sample-inputs.ts';

/** Examples of a step: a build's, but of long inputs as many as have so many tokens. */
const BATCH = 64;
const LENGTH = 128;
const TOKENS = 2048;

export interface ProbeStep {
  /** With the pairs that the step's output depends on. */
  readonly model: PreparedModel;
  readonly step: MaskStep;
}

/** @throws `bad-model` when the model runs on none of the sizes that are tried, or has no output with a row an example */
export async function stepFor(model: TracedModel): Promise<ProbeStep> {
  const session = await createOrtSession(ortModel(model.graph), { threads: computeThreads() });
  try {
    const [size, answers] = await acceptedSize(model, session);
    const more = await answersAt(model.graph, session, { ...size, batch: size.batch + 1 });
    const rows = rowsOf(size.batch, answers, more);
    const outputs = model.graph.outputs.filter(({ name }) => name === rows.output);
    const kept = keptPairs(model, { ...model.graph, outputs });
    return { model: kept, step: probeStep(kept, size, rows) };
  } finally {
    await session.close();
  }
}

type Answers = Readonly<Record<string, Tensor>>;

function answersAt(graph: Graph, session: OrtSession, size: FreeSizes): Promise<Answers> {
  return session.run(sampleInputs(graph, size, 1));
}

/** Position tables may end before the length that is tried first. */
async function acceptedSize(
  { graph, sizes }: TracedModel,
  session: OrtSession,
): Promise<readonly [FreeSizes, Answers]> {
  const { batch, length } = batchOf(graph);
  // The one height or side that images must have, where the file leaves it open, stays.
  const [traced] = sizes;
  for (const shorter of [length, length / 2, length / 4]) {
    const size = { ...traced, batch, length: shorter };
    const answers = await answersAt(graph, session, size).catch(() => undefined);
    if (answers !== undefined) return [size, answers];
  }
  const least = { ...traced, batch, length: 8 };
  return [least, await answersAt(graph, session, least)];
}

/** An output that is split with the examples: scores of each image among all texts are not. */
function rowsOf(batch: number, answers: Answers, more: Answers): { output: string; dims: readonly number[] } {
  const found = Object.entries(answers).find(([name, { dtype, dims }]) => {
    const [first, ...rest] = more[name]?.dims ?? [];
    return (
      dtype === 'float32' && dims[0] === batch && first === batch + 1 && dims.slice(1).join() === rest.join()
    );
  });
  if (found === undefined)
    throw new SppError('bad-model', 'The model has no output with a row an example.', {
      hint: 'Export it with a dynamic batch axis.',
    });
  return { output: found[0], dims: found[1].dims };
}

function batchOf(graph: Graph): { readonly batch: number; readonly length: number } {
  const free = graph.inputs.some(({ dims }) => dims.some((dim, axis) => axis > 0 && typeof dim === 'string'));
  return free ? { batch: Math.max(1, TOKENS / LENGTH), length: LENGTH } : { batch: BATCH, length: 1 };
}

/** With the output as its own teacher moved a little: the time is that of any other. */
function probeStep(
  { graph, pairs }: PreparedModel,
  size: FreeSizes,
  { output, dims }: { readonly output: string; readonly dims: readonly number[] },
): MaskStep {
  const data = Float32Array.from({ length: elementCount(dims) }, (_, i) => Math.sin(i));
  return {
    feeds: sampleInputs(graph, size, 1),
    masks: pairs.map(({ units }) => new Float32Array(units).fill(1)),
    loss: { kind: 'kl', output, teacher: { dtype: 'float32', dims, data } },
  };
}
