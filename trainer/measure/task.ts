/**
 * What a path is to keep of a model. Which task fits is read off the data's labels and the outputs' names and shapes;
 * flags override it.
 */
import { SppError } from '../../schema/errors.ts';
import type { Targets } from '../data/dataset.ts';

export const taskNames = ['classification', 'next-token', 'contrastive', 'embedding', 'distil'] as const;
export type TaskName = (typeof taskNames)[number];

/** A float output whose first axis is the examples. */
export interface OutputShape {
  readonly name: string;
  /** Of one example; [1] of a single number, whether it has an axis of its own or not. */
  readonly shape: readonly number[];
  /** Its rows are probabilities: what a Softmax gives, or of single numbers a Sigmoid. Absent where they are not. */
  readonly chances?: true;
  /** Its columns are all within 0 and 1, but rows do not sum to 1: probabilities of things that may be so together, or other shares. */
  readonly shares?: true;
  /** Labels say of each column whether it is so: a softmax over them would say nothing. */
  readonly apart?: true;
  /** Of outputs with a row a token: does no row change with the tokens behind it? Absent where that was not seen. */
  readonly causal?: boolean;
}

export interface Task {
  readonly name: TaskName;
  /** One output, or several that are taken together. */
  readonly outputs: readonly string[];
}

export interface TaskRequest {
  readonly task?: TaskName | undefined;
  readonly outputs?: readonly string[] | undefined;
}

interface TaskKind {
  readonly wants: string;
  /** The outputs to take; none when they do not fit. */
  choose(outputs: readonly OutputShape[], context: TaskContext, asked: Asked): readonly OutputShape[];
}

/** What the command line named. */
interface Asked {
  readonly task: boolean;
  readonly outputs: boolean;
}

interface TaskContext {
  readonly targets: Targets | undefined;
  /** Tokens of one example. */
  readonly length: number;
}

/** @param classes that the labels have: of outputs that nothing tells apart, one with as many columns is meant */
const scoresFirst = (outputs: readonly OutputShape[], classes?: number) => {
  const likely = (output: OutputShape) =>
    2 * Number(isScores(output)) + Number(output.shape.at(-1) === classes);
  return outputs.toSorted((a, b) => likely(b) - likely(a));
};
/**
 * Rows of scores, one a class. Outputs are called so by all exporters, or are probabilities; nothing else tells scores from other floats.
 * A single number may be a score, but also a measure: only labels tell. What has a row a pixel has its classes on another axis.
 */
export const isScores = (output: OutputShape) =>
  isRow(output) && (output.chances === true || isNamed(output));
const isNamed = ({ name }: OutputShape) => /logit|score|probab|prob(s|_|$)/i.test(name);
/** Of a single number the direction is its sign; probabilities of things that may be so together have sizes that count. */
export const hasDirection = (output: OutputShape) =>
  isWide(output) && output.apart !== true && !(output.shares === true && isNamed(output));
const isWide = ({ shape }: OutputShape) => (shape.at(-1) ?? 1) > 1;
/** A vector an example, or a token. In maps the channels may stand first. */
const isRow = (output: OutputShape) => hasDirection(output) && output.shape.length <= 2;
const rank = (wanted: number) => (output: OutputShape) => output.shape.length === wanted;
/** The two classes that one number can tell apart. */
const BINARY = 2;

/** Unasked, the first that fits is taken. */
const kinds: Readonly<Record<TaskName, TaskKind>> = {
  classification: {
    wants: 'class labels, and an output [examples, classes], or [examples, 1] of two classes',
    choose: (outputs, { targets }) => {
      if (targets?.kind !== 'class') return [];
      const classes = targets.names.length;
      const fits = (output: OutputShape) => rank(1)(output) && (isWide(output) || classes <= BINARY);
      return scoresFirst(outputs.filter(fits), classes).slice(0, 1);
    },
  },
  'next-token': {
    wants:
      'text, or a label for each token, and an output [examples, tokens, vocabulary] that, of text, sees no later tokens',
    choose: (outputs, { targets, length }) => {
      if (targets?.kind !== 'next-token') return [];
      const { rows } = targets;
      const fits = (output: OutputShape) =>
        rank(2)(output) &&
        output.shape[0] === (rows ?? length) &&
        (rows !== undefined || output.causal !== false);
      return scoresFirst(outputs.filter(fits)).slice(0, 1);
    },
  },
  contrastive: {
    wants: 'two outputs [examples, size] of equal size, such as image and text embeddings',
    choose: (outputs) => {
      const [a, b, ...others] = outputs.filter(
        (output) => rank(1)(output) && hasDirection(output) && !isScores(output),
      );
      return a && b && others.length === 0 && a.shape[0] === b.shape[0] ? [a, b] : [];
    },
  },
  distil: {
    wants: 'float outputs [examples, ...]',
    // Unasked, only scores, numbers and maps: vectors are better compared by direction.
    choose: (outputs, _, { task, outputs: named }) => {
      if (named && (task || outputs.length > 1)) return outputs;
      if (!task && !outputs.some(isRow)) return outputs.some(isWide) ? outputs.slice(0, 1) : outputs;
      return scoresFirst(outputs.filter((output) => task || isScores(output))).slice(0, 1);
    },
  },
  embedding: {
    wants: 'float outputs [examples, ..., size] of more than one number',
    choose: (outputs, _, { task }) => {
      const vectors = outputs.filter(task ? hasDirection : isRow);
      const pooled = vectors.filter(rank(1));
      return pooled.length > 0 ? pooled : vectors.slice(0, 1);
    },
  },
};

/** The outputs, with what labels say of them: as many yes and no for each example as an output has columns are labels of its columns. */
export function labelled(outputs: readonly OutputShape[], targets: Targets | undefined): OutputShape[] {
  return outputs.map((output) =>
    targets?.kind === 'next-token' && targets.binary && rank(1)(output) && output.shape[0] === targets.rows
      ? { ...output, apart: true }
      : output,
  );
}

const taskOrder = Object.keys(kinds) as TaskName[];

/**
 * @param outputs the model's float outputs
 * @throws `usage` when the asked task does not go with data or outputs, or a named output is not there; `bad-model`
 * when no output has a row an example
 */
export function chooseTask(
  outputs: readonly OutputShape[],
  context: TaskContext,
  { task, outputs: asked }: TaskRequest = {},
): Task {
  // Twice the same output is still one.
  const named = asked && [...new Set(asked)];
  if (outputs.length === 0) {
    throw new SppError('bad-model', 'The model has no float output with one row an example.', {
      hint: 'A path is searched by what the dense model answers to each example.',
    });
  }
  const among = named === undefined ? outputs : named.map((name) => outputNamed(name, outputs));
  for (const name of task === undefined ? taskOrder : [task]) {
    const given = { task: task !== undefined, outputs: named !== undefined };
    const chosen = kinds[name].choose(among, context, given);
    const whole = named === undefined || chosen.length === named.length;
    if (chosen.length > 0 && whole) return { name, outputs: chosen.map((output) => output.name) };
  }
  const there = among.map(({ name, shape }) => `${name} [examples, ${shape.join(', ')}]`).join(', ');
  const labels = context.targets === undefined ? 'no labels' : `${context.targets.kind} labels`;
  throw new SppError(
    'usage',
    `${task === undefined ? 'No task takes' : `The task ${task} wants ${kinds[task].wants}; there are`} ${labels} and ${there}.`,
    { hint: `Choose with --task (${taskNames.join(', ')}) and --output NAME.` },
  );
}

function outputNamed(name: string, outputs: readonly OutputShape[]): OutputShape {
  const found = outputs.find((output) => output.name === name);
  if (found !== undefined) return found;
  throw new SppError('usage', `There is no usable output ${name}.`, {
    hint: `Outputs with a row an example are: ${outputs.map((output) => output.name).join(', ')}.`,
  });
}
