/**
 * How a model's outputs become the one answer that it is held to: what each output means, which loss follows, and what
 * is known from the dense model's answers to a few examples (deviations, the bank that towers are compared with).
 */

import { SppError } from '../../schema/errors.ts';
import type { BoundDataset } from '../data/bind-dataset.ts';
import { elementCount, type Graph, type Tensor } from '../graph/graph.ts';
import { paddingOf, type ScorerName } from '../measure/scores.ts';
import { hasDirection, isScores, type OutputShape, type Task } from '../measure/task.ts';
import { computeThreads } from '../runtime/compute.ts';
import { randomSource, shuffledRange, streams } from '../search/random.ts';
import { type AnswerPart, type AnswerPlan, answerGraph, answerShape, type Meaning } from './answer.ts';
import { blockSize, finiteAnswersOf } from './answers.ts';
import type { LossName } from './options.ts';
import { temperatureOf } from './temperature.ts';

/** Examples whose dense answers say how much each part varies, and that towers are compared with. */
const EXAMPLES = 256;
/** Floats of answers looked at for that. */
const MOST_ELEMENTS = 2 ** 24;

export interface PlanRequest {
  readonly graph: Graph;
  readonly data: BoundDataset;
  readonly task: Task;
  readonly shapes: readonly OutputShape[];
  readonly loss: LossName;
  readonly seed: number;
}

/** @throws `usage` when the loss does not go with the task */
export async function planAnswer(request: PlanRequest): Promise<AnswerPlan> {
  const plan = outline(request);
  const { graph, data, seed } = request;
  const unscaled = plan.parts.every(({ meaning }) => meaning === 'scores' || meaning === 'direction');
  if (plan.form === 'plain' && unscaled) return plan;
  const wanted = Math.min(EXAMPLES, Math.floor(MOST_ELEMENTS / elementCount(answerShape(plan))) || 1);
  const order = shuffledRange(randomSource(seed, streams.calibration, 1), data.train.count);
  const asked = {
    split: data.train,
    indices: order.slice(0, Math.max(2, wanted)),
    threads: computeThreads(),
  };
  if (plan.form === 'bank') {
    const towers = { ...plan, form: 'plain' } as const;
    const block = blockSize(data, answerShape(towers));
    const vectors = await finiteAnswersOf(answerGraph(graph, towers), { ...asked, block });
    return {
      ...plan,
      bank: { vectors, temperature: await temperatureOf(graph, plan.outputs, asked, vectors) },
    };
  }
  const scales: number[] = [];
  for (const part of plan.parts) {
    const alone = { ...plan, parts: [part] };
    const block = blockSize(data, answerShape(alone));
    const answers = await finiteAnswersOf(answerGraph(graph, alone), { ...asked, block });
    scales.push(unitScale(answers, plan.parts.length, plan.mask === undefined ? noPadding : paddingOf));
  }
  return { ...plan, parts: plan.parts.map((part, i) => ({ ...part, scale: scales[i] ?? 1 })) };
}

/** All that follows from names and shapes. */
export function outline({ data, task, shapes, loss }: Omit<PlanRequest, 'graph' | 'seed'>): AnswerPlan {
  const outputs = task.outputs.map((name) => shapes.find((shape) => shape.name === name) as OutputShape);
  const parts = outputs.map((output) => ({
    output: output.name,
    meaning: meaningOf(task, output, loss),
    shape: output.shape,
    scale: 1,
    // One of several classes is meant, though each has a probability by itself.
    ...(output.chances || (output.shares && task.name === 'classification')
      ? { chances: true as const }
      : {}),
  }));
  const { maskInput: mask, maskTokens = data.length } = data;
  const tokens = outputs.some(({ shape }) => shape.length === 2 && shape[0] === maskTokens);
  const masked = tokens && mask !== undefined ? { mask, maskTokens } : {};
  const common = { ...task, parts, measure: measureOf(task, parts), ...masked };
  if (loss === 'cross-entropy' && task.name !== 'classification' && task.name !== 'next-token') {
    throw new SppError('usage', `The task ${task.name} has no labels for --loss cross-entropy.`, {
      hint: 'Use --loss distil, which needs none.',
    });
  }
  if (task.name === 'contrastive' && (loss === 'distil' || loss === 'kl'))
    return { ...common, parts: parts.map(asDirection), form: 'bank', loss: 'kl' };
  const leads = new Set(parts.map(({ shape }) => shape.slice(0, -1).join()));
  const directions = parts.every(({ meaning }) => meaning === 'direction');
  if (parts.length === 1 || (directions && leads.size === 1))
    return { ...common, form: 'plain', loss: parts[0]?.meaning === 'scores' ? 'kl' : 'squared' };
  return { ...common, parts: parts.map(asJoint), form: 'joint', loss: 'squared' };
}

const asDirection = (part: AnswerPart): AnswerPart => ({ ...part, meaning: 'direction' });
const asJoint = (part: AnswerPart): AnswerPart =>
  part.meaning === 'scores' ? { ...part, meaning: 'probabilities' } : part;

function meaningOf(task: Task, output: OutputShape, loss: LossName): Meaning {
  const byLoss = {
    kl: 'scores',
    'cross-entropy': 'scores',
    cosine: 'direction',
    mse: 'values',
    distil: undefined,
  } as const satisfies Record<LossName, Meaning | undefined>;
  const asked = byLoss[loss];
  if (asked === 'direction' && !hasDirection(output)) {
    throw new SppError(
      'usage',
      `The output ${output.name} has single numbers, of which a cosine is the sign.`,
      {
        hint: 'Use --loss mse, or the default.',
      },
    );
  }
  if (asked !== undefined) return asked;
  if (task.name === 'distil') return isScores(output) ? 'scores' : 'values';
  return task.name === 'embedding' || task.name === 'contrastive' ? 'direction' : 'scores';
}

function measureOf(task: Task, parts: readonly AnswerPart[]): ScorerName {
  if (task.name !== 'distil') return task.name;
  const [only] = parts;
  if (parts.length > 1 || only === undefined || only.meaning === 'values') return 'fidelity';
  return only.meaning === 'direction' ? 'embedding' : 'distil';
}

type Padding = (row: number) => boolean;
const noPadding = (): Padding => () => false;

/**
 * 1 / (deviation about the mean answer * sqrt(values of a row * parts)): then the squared distance is a share of the variance. Padded rows,
 * which are zero, count as little in it as in the distance.
 */
function unitScale(answers: Tensor, parts: number, padding: (answers: Tensor) => Padding): number {
  const data = answers.data as Float32Array;
  const [count = 1, ...rest] = answers.dims;
  const width = elementCount(rest);
  const perRow = rest.at(-1) ?? 1;
  const rowsEach = width / perRow;
  const isPadding = Array.from({ length: count * rowsEach }, (_, row) => row).map(padding(answers));
  let variance = 0;
  let counted = 0;
  for (let i = 0; i < width; i++) {
    let sum = 0;
    let squares = 0;
    let given = 0;
    for (let example = 0; example < count; example++) {
      if (isPadding[example * rowsEach + Math.floor(i / perRow)]) continue;
      const value = data[example * width + i] as number;
      sum += value;
      squares += value * value;
      given += 1;
    }
    if (given === 0) continue;
    variance += (given / count) * Math.max(0, squares / given - (sum / given) ** 2);
    counted += given / count;
  }
  const deviation = Math.sqrt(variance / counted);
  if (!(deviation > 0)) {
    throw new SppError('numerical-failure', 'The dense model gives the same answer to every example.', {
      hint: 'Check that the data fits the model, or name another --output.',
    });
  }
  return 1 / (deviation * Math.sqrt(perRow * parts));
}
