/** Prints one step's gradients on the digits model, and what the engine said on its way there. */
import { readFileSync } from 'node:fs';
import { trainableWeights } from '../graph/trainable-weights.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { createEngine } from './create-engine.ts';
import { anyStepOf } from './step.case.ts';

const model = await prepareModel(
  readFileSync(new URL('../../examples/digits/digits.onnx', import.meta.url)),
  'digits',
);
const { graph } = model;
const said: string[] = [];
const engine = await createEngine({
  graph,
  backend: 'onnxruntime',
  workers: 1,
  weights: trainableWeights(graph).slice(-4),
  onRecompute: () => said.push('recompute'),
  onHalved: (size) => said.push(`halved to ${size}`),
});
const step = await anyStepOf(model);
const { loss, weights } = await engine.step(step);
const gradients = [...weights].map(([name, gradient]) => [name, [...gradient]]);
// What was learnt holds for later steps: they do not fail first.
const again = (await engine.step(step)).loss;
await engine.close();
process.stdout.write(`${JSON.stringify({ loss, again, gradients, said })}\n`);
