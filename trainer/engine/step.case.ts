/** A step that fits any model: random inputs, and a teacher that differs from the model. */
import type { Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { sampleInputs } from '../runtime/sample-inputs.ts';
import type { EngineStep } from './engine.ts';

export async function anyStepOf(
  { graph, sizes }: TracedModel,
  kind: 'kl' | 'squared' = 'kl',
): Promise<EngineStep> {
  const output = graph.outputs[0]?.name as string;
  const feeds = sampleInputs(graph, { batch: 5, length: sizes[0]?.length ?? 1 }, 3);
  const session = await createOrtSession(writeOnnx(graph));
  const dense = (await session.run(feeds))[output] as Tensor;
  await session.close();
  const data = (dense.data as Float32Array).map((logit, i) => logit + Math.sin(i));
  return { feeds, loss: { kind, output, teacher: { ...dense, data } } };
}
