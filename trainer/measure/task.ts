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
  /** Of one example. */
  readonly shape: readonly number[];
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

const scoresFirst = (outputs: readonly OutputShape[]) =>
  outputs.toSorted((a, b) => Number(isScores(b)) - Number(isScores(a)));
/** Outputs are called so by all exporters; nothing else tells scores from other floats. */
export const isScores = ({ name }: Pick<OutputShape, 'name'>) => /logit|score/i.test(name);
const rank = (wanted: number) => (output: OutputShape) => output.shape.length === wanted;

/** Unasked, the first that fits is taken. */
const kinds: Readonly<Record<TaskName, TaskKind>> = {
  classification: {
    wants: 'class labels, and an output [examples, classes]',
    choose: (outputs, { targets }) =>
      targets?.kind === 'class' ? scoresFirst(outputs.filter(rank(1))).slice(0, 1) : [],
  },
  'next-token': {
    wants: 'text, and an output [examples, tokens, vocabulary] that sees no later tokens',
    choose: (outputs, { targets, length }) =>
      targets?.kind === 'next-token'
        ? scoresFirst(
            outputs.filter(
              (output) => rank(2)(output) && output.shape[0] === length && output.causal !== false,
            ),
          ).slice(0, 1)
        : [],
  },
  contrastive: {
    wants: 'two outputs [examples, size] of equal size, such as image and text embeddings',
    choose: (outputs) => {
      const [a, b, ...others] = outputs.filter((output) => rank(1)(output) && !isScores(output));
      return a && b && others.length === 0 && a.shape[0] === b.shape[0] ? [a, b] : [];
    },
  },
  distil: {
    wants: 'float outputs [examples, ...]',
    // Unasked, only scores: vectors are better compared by direction.
    choose: (outputs, _, { task, outputs: named }) => {
      if (named && (task || outputs.length > 1)) return outputs;
      return scoresFirst(outputs.filter((output) => task || isScores(output))).slice(0, 1);
    },
  },
  embedding: {
    wants: 'float outputs [examples, ..., size]',
    choose: (outputs) => {
      const pooled = outputs.filter(rank(1));
      return pooled.length > 0 ? pooled : outputs.slice(0, 1);
    },
  },
};

const taskOrder = Object.keys(kinds) as TaskName[];

/**
 * @param outputs the model's float outputs
 * @throws `usage` when the asked task does not go with data or outputs, or a named output is not there; `bad-model`
 * when no output has a row an example
 */
export function chooseTask(
  outputs: readonly OutputShape[],
  context: TaskContext,
  { task, outputs: named }: TaskRequest = {},
): Task {
  if (outputs.length === 0) {
    throw new SppError('bad-model', 'The model has no float output with one row an example.', {
      hint: 'A path is searched by what the dense model answers to each example.',
    });
  }
  const among = named === undefined ? outputs : named.map((name) => outputNamed(name, outputs));
  for (const name of task === undefined ? taskOrder : [task]) {
    const asked = { task: task !== undefined, outputs: named !== undefined };
    const chosen = kinds[name].choose(among, context, asked);
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
