/** Which outputs of a model can be held to the dense model's, found by running it on a few examples. */
import { SppError } from '../../schema/errors.ts';
import type { BoundDataset } from '../data/bind-dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import type { OutputShape } from '../measure/task.ts';
import { createOrtSession, type OrtSession } from '../runtime/ort-session.ts';
import { runOfTexts } from './run-of-texts.ts';

/** Relative change of an answer that is rounding. */
const ROUNDING = 1e-4;
/** The same between runs that share some of their examples; more than rounding makes of a choice in the model, as of an expert. */
const SAME_ROWS = 1e-2;
/** Examples of two runs, the first ones' behind another: what only looks back sees that, too. */
const [FEW, MORE] = [
  [0, 1],
  [2, 0, 1],
];
/** Examples of which every single number is a probability, if it is one in all: a few may be so by chance. */
const LOOKED_AT = 64;

/**
 * Float outputs that have one row an example: as many as there are examples, of a shape that does not depend on them, and with values that
 * do not depend on the others either. A single number may lack an axis of its own.
 * @throws `bad-model` where every output would be one, but for what it makes of the other examples
 */
export async function probeOutputs(graph: Graph, data: BoundDataset): Promise<OutputShape[]> {
  const session = await createOrtSession(ortModel(graph), { threads: 1 });
  try {
    const runs: { count: number; outputs: Record<string, Tensor> }[] = [];
    for (const examples of [FEW, MORE]) {
      const count = examples.length;
      const indices = examples.map((example) => example % data.train.count);
      const feeds = await data.train.feeds(indices);
      runs.push({ count, outputs: await runOfTexts(data.length, () => session.run(feeds)) });
    }
    const mixing: string[] = [];
    const shapes = graph.outputs.flatMap(({ name }): OutputShape[] => {
      const dims = runs.map(({ outputs }) => outputs[name]?.dims);
      const [first, second] = dims.map((each) => each?.slice(1));
      const float = runs.every(({ outputs }) => outputs[name]?.dtype === 'float32');
      const batched = runs.every(({ count }, run) => dims[run]?.[0] === count);
      if (!float || !batched || first === undefined || first.join() !== second?.join()) return [];
      const [few, more] = runs.map(({ outputs }) => outputs[name] as Tensor);
      if (few && more && !equalRows(few, more)) {
        mixing.push(name);
        return [];
      }
      const shape = first.length === 0 ? [1] : first;
      const chances = runs.every(({ outputs }) => areChances(outputs[name] as Tensor, shape));
      const shares = !chances && runs.every(({ outputs }) => areShares(outputs[name] as Tensor));
      return [{ name, shape, ...(chances ? { chances: true } : {}), ...(shares ? { shares: true } : {}) }];
    });
    const [mixed] = mixing;
    if (shapes.length === 0 && mixed !== undefined) throw dependsOnOthers(mixed);
    return await withCausality(session, data, await surelyChances(session, data, shapes));
  } finally {
    await session.close();
  }
}

/** Whether the rows of the first tensor are those of the second behind its first one. */
function equalRows(few: Tensor, more: Tensor): boolean {
  const [x, y] = [few.data as Float32Array, more.data as Float32Array];
  const before = y.length - x.length;
  const largest = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return x.every((value, i) => !(Math.abs(value - (y[before + i] as number)) > SAME_ROWS * largest));
}

function dependsOnOthers(output: string): SppError {
  return new SppError(
    'bad-model',
    `The model's output ${output} answers an example otherwise when other examples are run with it.`,
    {
      hint: 'The first axis of inputs and outputs must be the batch (batch_first=True), and nothing may be taken over it: export in eval mode.',
    },
  );
}

const areShares = ({ data }: Tensor) =>
  (data as Float32Array).every((value) => value >= 0 && value <= 1 + ROUNDING);

/** Whether rows are positive and sum to 1, or single numbers are within 0 and 1. */
function areChances(output: Tensor, shape: readonly number[]): boolean {
  const values = output.data as Float32Array;
  const width = shape.at(-1) ?? 1;
  if (!areShares(output)) return false;
  if (width === 1) return true;
  for (let from = 0; from < values.length; from += width) {
    const sum = values.subarray(from, from + width).reduce((a, b) => a + b, 0);
    if (Math.abs(sum - 1) > ROUNDING) return false;
  }
  return true;
}

/** Single numbers are looked at in more examples: five of them may lie within 0 and 1 without being probabilities. */
async function surelyChances(
  session: OrtSession,
  data: BoundDataset,
  shapes: readonly OutputShape[],
): Promise<OutputShape[]> {
  const isDoubtful = ({ shape, chances }: OutputShape) => chances === true && shape.at(-1) === 1;
  const doubtful = shapes.filter(isDoubtful);
  const refuted = new Set<string>();
  for (
    let place = 0;
    place < Math.min(LOOKED_AT, data.train.count) && doubtful.length > refuted.size;
    place++
  ) {
    const outputs = await session.run(await data.train.feeds([place]));
    for (const { name, shape } of doubtful)
      if (!areChances(outputs[name] as Tensor, shape)) refuted.add(name);
  }
  return shapes.map(({ chances, ...output }) =>
    chances === undefined || refuted.has(output.name) ? output : { ...output, chances },
  );
}

/** An output with a row a token is causal when no row changes with a token behind it: only such rows predict the next one. */
async function withCausality(
  session: OrtSession,
  data: BoundDataset,
  shapes: readonly OutputShape[],
): Promise<OutputShape[]> {
  const feeds = await data.train.feeds([0]);
  const tokens = data.tokensInput === undefined ? undefined : feeds[data.tokensInput];
  const changed = tokens && withOtherEnd(tokens);
  if (tokens === undefined || changed === undefined || data.length < 2) return [...shapes];
  const [before, after] = [
    await session.run(feeds),
    await session.run({ ...feeds, [data.tokensInput as string]: changed }),
  ];
  return shapes.map((output) =>
    output.shape.length === 2 && output.shape[0] === data.length
      ? { ...output, causal: equalButLast(before[output.name] as Tensor, after[output.name] as Tensor) }
      : output,
  );
}

/** The same tokens [1, length], the last one replaced by another of them. */
function withOtherEnd({ dtype, dims, data }: Tensor): Tensor | undefined {
  const changed = data.slice() as typeof data;
  const other = Array.from<number | bigint>(data).find((token) => token !== data.at(-1));
  if (other === undefined) return undefined;
  // Elements of one array have one type, which TypeScript cannot know.
  changed[data.length - 1] = other as never;
  return { dtype, dims, data: changed };
}

function equalButLast(a: Tensor, b: Tensor): boolean {
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  const compared = x.length - (a.dims.at(-1) ?? 0);
  const largest = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let i = 0; i < compared; i++)
    if (Math.abs((x[i] as number) - (y[i] as number)) > ROUNDING * largest) return false;
  return true;
}
