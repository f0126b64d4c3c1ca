/** Which inputs say what of an example is padding, and whose tokens they say it of. */
import type { ValueInfo } from '../graph/graph.ts';
import type { Field } from './dataset.ts';

/** Names of masks that are 1 where there is a token; others may mean the opposite. */
export const TOKEN_MASK = /attention_?mask/i;
export const DECODER = /decoder/i;
const ENCODER = /encoder/i;

/** An input of a model, and the field of the data that feeds it. */
export interface FedInput {
  readonly input: ValueInfo;
  readonly field: Field;
}

export interface TokenMask {
  /** The input that takes it: 0 where an example is padded. */
  readonly input: string;
  /** Of an example. */
  readonly tokens: number;
  /** Inputs that begin with an entry for each of them. */
  readonly of: readonly string[];
  /** Inputs of a text that is read after this one, as a decoder's: what is made of them has tokens of its own. */
  readonly before: readonly string[];
}

/** One for each mask that the data feeds. */
export function tokenMasks(fed: readonly FedInput[]): TokenMask[] {
  const others = fed.filter((source) => !isTokenMask(source.field, source.input.name));
  const named = (sources: readonly FedInput[]) => sources.map(({ input }) => input.name);
  return fed.flatMap(({ input, field }) => {
    const [tokens, ...more] = field.shape;
    if (!isTokenMask(field, input.name) || tokens === undefined || more.length > 0) return [];
    const place = placeOf(input);
    const own = others.filter((other) => placeOf(other.input) === place);
    return {
      input: input.name,
      tokens,
      of: named(own.filter((other) => other.field.shape[0] === tokens)),
      before: named(others.filter((other) => placeOf(other.input) > place)),
    };
  });
}

/** @param name of the input that the field feeds; its own where that is not known */
export function isTokenMask({ role, name }: Pick<Field, 'role' | 'name'>, fed = name): boolean {
  return role === 'mask' || TOKEN_MASK.test(fed);
}

/** What a model reads first, second, third: an encoder's states, its own text, and behind an encoder of the same graph the decoder's. */
function placeOf({ name }: ValueInfo): number {
  if (DECODER.test(name)) return 2;
  return ENCODER.test(name) ? 0 : 1;
}
