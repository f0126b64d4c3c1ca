/** Joins a data set to a model: which field feeds which input, and what is put where the data says nothing. */
import { SppError } from '../../schema/errors.ts';
import { type Dtype, elementCount, type Tensor, type ValueInfo } from '../graph/graph.ts';
import { canCast, castTensor } from './cast.ts';
import { dataAdvice, describeInput, whyUnfed } from './data-advice.ts';
import type { Dataset, Field, FieldRole, Split, Tensors } from './dataset.ts';
import { DECODER, type FedInput, TOKEN_MASK, type TokenMask, tokenMasks } from './token-masks.ts';

export interface BoundSplit {
  readonly count: number;
  /** Every input of the model for the given examples. */
  feeds(indices: readonly number[]): Promise<Tensors>;
  /** As the split's. */
  readonly labels?: NonNullable<Split['labels']>;
}

export interface BoundDataset extends Omit<Dataset, 'train' | 'test'> {
  readonly train: BoundSplit;
  readonly test: BoundSplit;
  /** The input that the image field feeds. */
  readonly imageInput?: string;
  /** The input that takes the tokens. */
  readonly tokensInput?: string;
  /** The input that the data's mask feeds where it pads, of the tokens that the outputs' rows belong to, and how many an example has. */
  readonly maskInput?: string;
  readonly maskTokens?: number;
  /** All that the data feeds; none where it says nothing of padding. */
  readonly masks?: readonly TokenMask[];
  /** Tokens of one example; 1 when the data has none. */
  readonly length: number;
}

/** Filled with the places of a text's tokens where the data lacks it. */
export const POSITIONS = /position/i;
/** Inputs that text models have beside the tokens, filled in when the data lacks them; the rest of the name does not matter. */
const auxiliary: readonly { readonly name: RegExp; readonly at: (position: number) => number }[] = [
  // What is "masked" is to be guessed by the model, which nothing here can choose.
  { name: /mask(?!ed)/i, at: () => 1 },
  { name: /token_type|segment/i, at: () => 0 },
  { name: POSITIONS, at: (position) => position },
];
const PIXEL_MASK = /pixel.*mask/i;

const roleTakes: Readonly<Record<FieldRole, (input: ValueInfo) => boolean>> = {
  image: ({ dtype, dims }) => isFloat(dtype) && dims.length === 4,
  tokens: ({ name, dtype }) =>
    (dtype === 'int64' || dtype === 'int32') && !auxiliary.some((entry) => entry.name.test(name)),
  mask: ({ name }) => /mask/i.test(name),
};

type Source =
  | FedInput
  | {
      readonly input: ValueInfo;
      /** Shape of one example; one row for all of them where the input's batch is 1. */
      readonly shape: readonly number[];
      readonly at: (position: number) => number;
    };

/**
 * @throws `bad-data` when shapes or types differ, an input is not fed, or a field feeds none; `bad-model` when an
 * input has no free batch dimension
 */
export function bindDataset(dataset: Dataset, inputs: readonly ValueInfo[]): BoundDataset {
  const tokens = dataset.fields.find(({ role }) => role === 'tokens') ?? namedTokens(dataset, inputs);
  const sources = inputs.map((input) => sourceOf(input, inputs, dataset, tokens));
  refuseUnused(dataset, sources);
  const sizes = new Map<string, number>();
  for (const source of sources) if ('field' in source) checkFit(dataset, source.input, source.field, sizes);
  const bound = (split: Split): BoundSplit => ({
    count: split.count,
    feeds: async (indices) => feedsOf(await split.read(indices), indices.length, sources),
    ...(split.labels === undefined ? {} : { labels: split.labels.bind(split) }),
  });
  const image = sources.find((source) => 'field' in source && source.field.role === 'image')?.input.name;
  const mask = maskOf(sources);
  const masks = tokenMasks(fedOf(sources));
  const tokensInput = sources.find((source) => 'field' in source && source.field === tokens)?.input.name;
  return {
    ...dataset,
    train: bound(dataset.train),
    test: bound(dataset.test),
    length: tokens?.shape[0] ?? 1,
    ...(image === undefined ? {} : { imageInput: image }),
    ...(mask === undefined ? {} : { maskInput: mask.input.name, maskTokens: mask.field.shape[0] ?? 1 }),
    ...(masks.length === 0 ? {} : { masks }),
    ...(tokensInput === undefined ? {} : { tokensInput }),
  };
}

const fedOf = (sources: readonly Source[]) =>
  sources.filter((source): source is FedInput => 'field' in source);

/** Behind a decoder, rows are the decoder's tokens: the mask of what it reads says nothing of them. */
function maskOf(sources: readonly Source[]): FedInput | undefined {
  const fed = fedOf(sources);
  const given = fed.find(({ field }) => field.role === 'mask');
  if (given !== undefined) return given;
  const decodes = sources.some(({ input }) => DECODER.test(input.name) && roleTakes.tokens(input));
  return fed.find(
    ({ input, field }) =>
      TOKEN_MASK.test(input.name) && field.shape.length === 1 && DECODER.test(input.name) === decodes,
  );
}

/** Of arrays by name: the one that stands for the text. */
function namedTokens(dataset: Dataset, inputs: readonly ValueInfo[]): Field | undefined {
  return dataset.fields.find(
    ({ name, shape }) =>
      shape.length === 1 && inputs.some((input) => input.name === name && roleTakes.tokens(input)),
  );
}

function sourceOf(
  input: ValueInfo,
  inputs: readonly ValueInfo[],
  dataset: Dataset,
  tokens: Field | undefined,
): Source {
  const field =
    dataset.fields.find(({ name, role }) => role === undefined && name === input.name) ??
    dataset.fields.find(({ role }) => role !== undefined && takerOf(role, inputs) === input);
  if (field !== undefined) return { input, field };
  const filled = fillerOf(input, dataset, tokens);
  if (filled !== undefined) return { input, ...filled };
  throw new SppError(
    'bad-data',
    `The model's input ${describeInput(input)} is not fed: ${dataset.name} holds ${dataset.fields.map(describeField).join(', ')}.`,
    { hint: whyUnfed(input) ?? dataAdvice(inputs) },
  );
}

/** Masks of ones, positions from 0 on, a single segment: what a text or an image that fills its place has. */
function fillerOf(
  input: ValueInfo,
  dataset: Dataset,
  tokens: Field | undefined,
): Pick<Extract<Source, { readonly at: unknown }>, 'shape' | 'at'> | undefined {
  const image = dataset.fields.find(({ role }) => role === 'image');
  if (PIXEL_MASK.test(input.name) && image !== undefined && input.dims.length === image.shape.length)
    return { shape: image.shape.slice(1), at: () => 1 };
  const filler = auxiliary.find(({ name }) => name.test(input.name));
  const [, length] = input.dims;
  const fits = tokens !== undefined && (typeof length === 'string' || length === tokens.shape[0]);
  return filler !== undefined && input.dims.length === 2 && fits && !PIXEL_MASK.test(input.name)
    ? { shape: tokens.shape, at: filler.at }
    : undefined;
}

/** The first input that a role fits; a model's only float input is its image, whatever its rank. */
function takerOf(role: FieldRole, inputs: readonly ValueInfo[]): ValueInfo | undefined {
  const fitting = inputs.find(roleTakes[role]);
  if (fitting !== undefined || role !== 'image') return fitting;
  const floats = inputs.filter(({ dtype }) => isFloat(dtype));
  return floats.length === 1 ? floats[0] : undefined;
}

function refuseUnused(dataset: Dataset, sources: readonly Source[]): void {
  const used = new Set(sources.flatMap((source) => ('field' in source ? [source.field] : [])));
  const unused = dataset.fields.find((field) => !used.has(field));
  if (unused === undefined) return;
  const names = sources.map(({ input }) => describeInput(input)).join(', ');
  throw new SppError(
    'bad-data',
    `${dataset.name} holds ${describeField(unused)}, which none of the model's inputs takes: ${names}.`,
    {
      hint:
        unused.role === 'mask'
          ? 'Texts were padded, but the model has no mask: give texts that fill --length.'
          : 'Name arrays as the model names its inputs.',
    },
  );
}

function checkFit(dataset: Dataset, input: ValueInfo, field: Field, sizes: Map<string, number>): void {
  if (!canCast(field.dtype, input.dtype)) {
    throw new SppError(
      'bad-data',
      `${dataset.name} holds ${describeField(field)} as ${field.dtype}, but the model's input ${input.name} takes ${input.dtype}.`,
    );
  }
  const [batch, ...wanted] = input.dims;
  if (typeof batch !== 'string') {
    throw new SppError(
      'bad-model',
      `The model's input ${describeInput(input)} has no free batch dimension.`,
      {
        hint: 'Export the model with a dynamic batch axis.',
      },
    );
  }
  const fits =
    wanted.length === field.shape.length &&
    wanted.every((dim, axis) => {
      const size = field.shape[axis] as number;
      if (typeof dim === 'number') return dim === size;
      const known = sizes.get(dim) ?? size;
      sizes.set(dim, known);
      return known === size;
    });
  if (!fits) {
    const otherSize = wanted
      .filter((dim) => typeof dim === 'string')
      .map((dim) => `${dim} = ${sizes.get(dim) ?? '?'}`);
    throw new SppError(
      'bad-data',
      `${dataset.name} has examples of shape [${field.shape.join(', ')}], but the model's input ${input.name} wants [${wanted.join(', ')}]${
        otherSize.length === 0 ? '' : ` with ${otherSize.join(', ')}`
      }.`,
      { hint: 'Give data of that shape, or the model that this data belongs to.' },
    );
  }
}

function feedsOf(read: Tensors, count: number, sources: readonly Source[]): Tensors {
  return Object.fromEntries(
    sources.map((source) => {
      const { input } = source;
      if (!('field' in source)) {
        const rows = input.dims[0] === 1 ? 1 : count;
        return [input.name, filled(input.dtype, [rows, ...source.shape], source.at)];
      }
      const tensor = read[source.field.name];
      if (tensor === undefined) throw new SppError('internal', `The data gave no ${source.field.name}.`);
      return [input.name, castTensor(tensor, input.dtype, source.field.name)];
    }),
  );
}

function filled(dtype: Dtype, dims: readonly number[], at: (position: number) => number): Tensor {
  const each = elementCount(dims.slice(1));
  const data = Int32Array.from({ length: elementCount(dims) }, (_, i) => at(i % each));
  return castTensor({ dtype: 'int32', dims, data }, dtype, 'a filled-in input');
}

function isFloat(dtype: Dtype): boolean {
  return dtype === 'float32' || dtype === 'float64';
}

function describeField({ name, shape }: Field): string {
  return `${name} [${shape.join(', ')}]`;
}
