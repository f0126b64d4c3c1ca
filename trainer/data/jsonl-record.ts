/** One line of a JSON Lines file as a record: text, token ids or arrays by input name, perhaps an image and a label. */
import { z } from 'zod';
import { elementCount } from '../graph/graph.ts';
import { MOST_CLASSES } from './dataset.ts';

export type JsonRecord = {
  readonly label?: string | number;
  /** File of an image, from the folder of the JSON Lines file. */
  readonly image?: string;
} & (
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tokens'; readonly tokens: readonly number[] }
  | { readonly kind: 'image' }
  | { readonly kind: 'arrays'; readonly arrays: Readonly<Record<string, NumberArray>> }
);

export interface NumberArray {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

const objectSchema = z.record(z.string(), z.unknown());
const labelSchema = z.union([z.string(), z.int().min(0).lt(MOST_CLASSES)]);
const tokensSchema = z.array(z.int().min(0).max(0x7fffffff)).min(1);

/** @returns the record, or why it is none */
export function parseRecord(line: string): JsonRecord | string {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return 'is not JSON';
  }
  const object = objectSchema.safeParse(json);
  if (!object.success) return 'is not a JSON object';
  const { label: given, text, tokens, image, ...rest } = object.data;
  const label = given === undefined ? undefined : labelSchema.safeParse(given);
  if (label !== undefined && !label.success)
    return `has a label that is neither a name nor a whole number from 0 to ${MOST_CLASSES - 1}`;
  // An array of this name is an input's.
  const file = typeof image === 'string' && image !== '' ? image : undefined;
  if (image !== undefined && file === undefined && !Array.isArray(image))
    return 'has an image that is neither a file name nor an array';
  const labelled = {
    ...(label === undefined ? {} : { label: label.data }),
    ...(file === undefined ? {} : { image: file }),
  };
  if (text !== undefined) {
    return typeof text === 'string' && text !== ''
      ? { kind: 'text', text, ...labelled }
      : 'has a text that is not a string, or empty';
  }
  if (tokens !== undefined) {
    const ids = tokensSchema.safeParse(tokens);
    return ids.success
      ? { kind: 'tokens', tokens: ids.data, ...labelled }
      : 'has tokens that are not a list of ids';
  }
  const arrays: Record<string, NumberArray> = {};
  for (const [name, value] of Object.entries(
    file === undefined && image !== undefined ? { ...rest, image } : rest,
  )) {
    const array = numberArray(value);
    if (array === undefined) return `has a ${name} that is not an array of numbers of even shape`;
    arrays[name] = array;
  }
  if (file !== undefined) return { kind: 'image', ...labelled };
  if (Object.keys(arrays).length === 0) return 'has neither text nor tokens nor image nor arrays';
  return { kind: 'arrays', arrays, ...labelled };
}

/** A nested list of numbers; undefined when it is ragged or holds anything else. */
function numberArray(value: unknown): NumberArray | undefined {
  const shape: number[] = [];
  for (let inner = value; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
  const values = [value].flat(Number.POSITIVE_INFINITY) as unknown[];
  const even = levelsAre(value, shape);
  if (!even || values.length !== elementCount(shape)) return undefined;
  if (!values.every((each): each is number => typeof each === 'number' && Number.isFinite(each)))
    return undefined;
  return { shape, values };
}

function levelsAre(value: unknown, [length, ...inner]: readonly number[]): boolean {
  if (length === undefined) return !Array.isArray(value);
  return Array.isArray(value) && value.length === length && value.every((each) => levelsAre(each, inner));
}
