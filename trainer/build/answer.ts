/** The one value that search and compensation hold a model to, and the one that it is measured by: made in the graph from the task's outputs. */
import { SppError } from '../../schema/errors.ts';
import type { Attribute, Graph, Tensor, ValueInfo } from '../graph/graph.ts';
import { type Draft, draftOf, int64, withoutDeadCode } from '../graph/rewrite.ts';
import type { ScorerName } from '../measure/scores.ts';
import type { Task } from '../measure/task.ts';

/**
 * `scores`: logits or probabilities, held by KL. `direction`: vectors compared by cosine. `values`: anything else, by squared distance.
 * `probabilities`: scores among other parts, as roots of their softmax, whose squared distance is KL / 2 to second order.
 */
export type Meaning = 'scores' | 'direction' | 'values' | 'probabilities';

export interface AnswerPart {
  readonly output: string;
  readonly meaning: Meaning;
  /** Of one example; [1] of a single number, whether it has an axis of its own or not. */
  readonly shape: readonly number[];
  /** Of scores: the output has their probabilities. */
  readonly chances?: true;
  /** What the part is multiplied by, so that the dense model's answers have unit variance, all parts together. */
  readonly scale: number;
}

export interface AnswerPlan extends Task {
  /** `plain`: a row for each of the output's; `joint`: all outputs flattened to one row; `bank`: two towers. */
  readonly form: 'plain' | 'joint' | 'bank';
  readonly parts: readonly AnswerPart[];
  readonly loss: 'kl' | 'squared';
  readonly measure: ScorerName;
  /** The input that is 0 where a token is padding, and how many tokens it has; undefined: as many as any output has rows. */
  readonly mask?: string;
  readonly maskTokens?: number;
  /** Both towers' unit vectors of some examples by the dense model, [bank, 2 size], and what scores multiply by. */
  readonly bank?: { readonly vectors: Tensor; readonly temperature: number };
}

/** Keeps the square root's slope finite where a vector is zero, and logarithms where a probability is. */
const FLOOR = 1e-12;

const int = (value: number): Attribute => ({ kind: 'int', value });

/**
 * The graph with what the search is to keep as its only output: scores as they are; directions as unit vectors, where
 * half the squared distance is 1 - cosine; two towers as scores among the bank's vectors, [examples, 2, bank]; anything
 * else in units of its own deviation, several outputs one behind the other. Padded tokens are zero. What only other outputs
 * need is left out.
 */
export function answerGraph(graph: Graph, plan: AnswerPlan): Graph {
  const { parts, form } = plan;
  const [only] = parts;
  if (only === undefined) throw new SppError('internal', 'An answer has no parts.');
  if (form === 'plain' && isLogits(only) && plan.mask === undefined) {
    return withoutDeadCode({ ...graph, outputs: [outputOf(graph, only.output)] });
  }
  const draft = draftOf(graph);
  const made = parts.map((part) => masked(draft, graph, part, transformed(draft, graph, part), plan));
  if (form === 'bank') return finished(graph, draft, bankScores(draft, made, plan), ['batch', 2, 'bank']);
  const scaled = made.map((value, i) => times(draft, value, parts[i]?.scale ?? 1));
  const rank = only.shape.length + 1;
  if (form === 'joint') {
    const shape = draft.constant('answer/flat', int64([0, -1]));
    const flat = scaled.map((value) => draft.add('Reshape', [value, shape], 'answer/part'));
    return finished(graph, draft, joined(draft, flat), ['batch', 'answer']);
  }
  return finished(graph, draft, joined(draft, scaled), freeDims(rank));
}

/** The graph with what the task's metric is taken of as its only output, by the name that `answerGraph` gives it. */
export function measuredGraph(graph: Graph, plan: AnswerPlan): Graph {
  const asScores = plan.measure === 'classification' || plan.measure === 'next-token';
  if (asScores) {
    const { parts } = plan;
    return renamed(answerGraph(graph, { ...plan, form: 'plain', parts: as(parts, 'scores') }), plan, graph);
  }
  if (plan.measure !== 'contrastive') return answerGraph(graph, plan);
  return renamed(
    answerGraph(graph, { ...plan, form: 'plain', parts: as(plan.parts, 'direction') }),
    plan,
    graph,
  );
}

const as = (parts: AnswerPlan['parts'], meaning: Meaning) =>
  parts.map((part) => ({ ...part, meaning, scale: 1 }));

/** Both graphs' answers have one name, so that they can be asked for alike. */
function renamed(measured: Graph, plan: AnswerPlan, graph: Graph): Graph {
  const [own, wanted] = [answerName(measured), answerName(answerGraph(graph, plan))];
  if (own === wanted) return measured;
  const node = { name: wanted, opType: 'Identity', domain: '', attributes: {} };
  return {
    ...measured,
    nodes: [...measured.nodes, { ...node, inputs: [own], outputs: [wanted] }],
    outputs: measured.outputs.map((output) => ({ ...output, name: wanted })),
  };
}

/** Shape of one example's answer. */
export function answerShape({ form, parts, bank }: AnswerPlan): number[] {
  if (form === 'bank') return [2, bank?.vectors.dims[0] ?? 0];
  const sizes = parts.map(({ shape, meaning }) =>
    isPair({ shape, meaning }) ? [...shape.slice(0, -1), 2] : shape,
  );
  if (form === 'joint') {
    return [sizes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0)];
  }
  return [...(sizes[0]?.slice(0, -1) ?? []), sizes.reduce((sum, shape) => sum + (shape.at(-1) ?? 0), 0)];
}

/** Name of the answer of an answer graph. */
export function answerName(graph: Graph): string {
  return graph.outputs[0]?.name ?? '';
}

/** A row of scores for each class, as it is given out. */
const isLogits = (part: AnswerPart) => part.meaning === 'scores' && part.chances !== true && !isPair(part);

/** One number that tells two classes apart: scores of both are made of it. */
const isPair = ({ meaning, shape }: Pick<AnswerPart, 'meaning' | 'shape'>) =>
  (meaning === 'scores' || meaning === 'probabilities') && shape.at(-1) === 1;

/** With an axis for what an example has. */
function rowsOf(draft: Draft, graph: Graph, { output, shape }: AnswerPart): string {
  const { name } = outputOf(graph, output);
  if (shape.join() !== '1') return name;
  return draft.add('Reshape', [name, draft.constant('answer/rows', int64([-1, 1]))], 'answer/number');
}

/** Logits, of which a softmax is what the model gives out. */
function scoresOf(draft: Draft, rows: string, part: AnswerPart): string {
  const pair = (values: readonly [number, number]) =>
    draft.constant('answer/pair', { dtype: 'float32', dims: [2], data: Float32Array.from(values) });
  if (part.chances !== true) {
    return isPair(part) ? draft.add('Mul', [rows, pair([-0.5, 0.5])], 'answer/both') : rows;
  }
  const both = () => {
    const signed = draft.add('Mul', [rows, pair([-1, 1])], 'answer/signed');
    return draft.add('Add', [signed, pair([1, 0])], 'answer/both');
  };
  const floor = draft.constant('answer/floor', scalar(FLOOR));
  const positive = draft.add('Add', [isPair(part) ? both() : rows, floor], 'answer/positive');
  return draft.add('Log', [positive], 'answer/scores');
}

function transformed(draft: Draft, graph: Graph, part: AnswerPart): string {
  const { meaning } = part;
  const rows = rowsOf(draft, graph, part);
  if (meaning === 'values') return rows;
  if (meaning === 'scores') return scoresOf(draft, rows, part);
  if (meaning === 'probabilities') {
    const scores = scoresOf(draft, rows, part);
    const chances = draft.add('Softmax', [scores], 'answer/probabilities', { axis: int(-1) });
    const floor = draft.constant('answer/floor', scalar(FLOOR));
    return draft.add('Sqrt', [draft.add('Add', [chances, floor], 'answer/positive')], 'answer/root');
  }
  const square = draft.add('Mul', [rows, rows], 'answer/square');
  const axis = draft.constant('answer/axis', int64([-1]));
  const sum = draft.add('ReduceSum', [square, axis], 'answer/sum', { keepdims: int(1) });
  const floor = draft.constant('answer/floor', scalar(FLOOR));
  const length = draft.add('Sqrt', [draft.add('Add', [sum, floor], 'answer/positive')], 'answer/length');
  return draft.add('Div', [rows, length], 'answer/unit');
}

/** Rows of padded tokens made zero: in teacher and pupil alike, so that they add nothing to any loss. */
function masked(draft: Draft, graph: Graph, { shape }: AnswerPart, value: string, plan: AnswerPlan): string {
  if (plan.mask === undefined || shape.length !== 2) return value;
  if (plan.maskTokens !== undefined && shape[0] !== plan.maskTokens) return value;
  if (!graph.inputs.some(({ name }) => name === plan.mask)) return value;
  const axis = draft.constant('answer/axis', int64([-1]));
  const counts = draft.add('Cast', [plan.mask], 'answer/counts', { to: int(1) });
  const column = draft.add('Unsqueeze', [counts, axis], 'answer/column');
  return draft.add('Mul', [value, column], 'answer/kept');
}

/** Each tower's unit vectors against the dense model's of the other tower. */
function bankScores(draft: Draft, towers: readonly string[], { bank }: AnswerPlan): string {
  if (bank === undefined) throw new SppError('internal', 'There is no bank of vectors.');
  const axis = draft.constant('answer/tower', int64([1]));
  const rows = towers.map((tower, i) => {
    const others = draft.constant('answer/bank', columnsOf(bank.vectors, 1 - i, bank.temperature));
    return draft.add('Unsqueeze', [draft.add('MatMul', [tower, others], 'answer/among'), axis], 'answer/row');
  });
  return draft.add('Concat', rows, 'answer/joint', { axis: int(1) });
}

/** One half of vectors [bank, 2 size] as a matrix [size, bank]. */
function columnsOf({ data, dims }: Tensor, half: number, by: number): Tensor {
  const [count = 0, width = 0] = dims;
  const size = width / 2;
  const columns = new Float32Array(size * count);
  for (let row = 0; row < count; row++)
    for (let i = 0; i < size; i++)
      columns[i * count + row] = by * (data as Float32Array)[row * width + half * size + i]!;
  return { dtype: 'float32', dims: [size, count], data: columns };
}

function times(draft: Draft, value: string, by: number): string {
  if (by === 1) return value;
  return draft.add('Mul', [value, draft.constant('answer/scale', scalar(by))], 'answer/scaled');
}

function joined(draft: Draft, values: readonly string[]): string {
  // A graph output must be made by a node.
  return draft.add('Concat', values, 'answer/joint', { axis: int(-1) });
}

function finished(graph: Graph, draft: Draft, name: string, dims: ValueInfo['dims']): Graph {
  return withoutDeadCode({
    ...graph,
    initializers: draft.initializers,
    nodes: [...graph.nodes, ...draft.nodes],
    outputs: [{ name, dtype: 'float32', dims }],
  });
}

function freeDims(rank: number): string[] {
  return Array.from({ length: rank }, (_, axis) => (axis === 0 ? 'batch' : `answer_${axis}`));
}

function scalar(value: number): Tensor {
  return { dtype: 'float32', dims: [], data: Float32Array.of(value) };
}

function outputOf(graph: Graph, name: string): ValueInfo {
  const output = graph.outputs.find((each) => each.name === name);
  if (output === undefined) throw new SppError('bad-model', `The model has no output ${name}.`);
  return output;
}
