/** What to give a model, said from its inputs alone. */
import type { ValueInfo } from '../graph/graph.ts';

/** Inputs that no data set here can feed, and what to do about them. */
const unfeedable: readonly { readonly name: RegExp; readonly hint: string }[] = [
  {
    name: /past|cache/i,
    hint: 'It is the memory of earlier tokens: export the model without one (use_cache=False; with optimum the task text-generation, not text-generation-with-past).',
  },
  {
    name: /decoder.*ids/i,
    hint: "It is the decoder's text: give both texts as arrays by input name with npz:FILE.npz, or export the encoder and the decoder apart.",
  },
];

/** @returns undefined when nothing is known of such inputs */
export function whyUnfed({ name }: ValueInfo): string | undefined {
  return unfeedable.find((entry) => entry.name.test(name))?.hint;
}

/** Whether any input takes what sources of this kind hold; sources of arrays by name may feed anything. */
export function feedsAny(kind: string, inputs: readonly ValueInfo[]): boolean {
  if (kind === 'images' || kind === 'idx' || kind === 'mnist')
    return inputs.some(({ dtype }) => dtype.startsWith('float'));
  return kind !== 'text' || inputs.some(takesTokens);
}

function takesTokens({ name, dtype, dims }: ValueInfo): boolean {
  return dtype.startsWith('int') && dims.length === 2 && !/mask/i.test(name);
}

/** One sentence for `--data`: which sources feed these inputs. */
export function dataAdvice(inputs: readonly ValueInfo[]): string {
  const image = inputs.some(({ dtype, dims }) => dtype === 'float32' && dims.length === 4);
  const text = inputs.some(takesTokens);
  const names = inputs.map(({ name }) => name).join(', ');
  const arrays = `npz:FILE.npz with arrays named ${names}`;
  if (image && text)
    return `Give jsonl:FILE whose records have an image file and a text (with --tokenizer), or ${arrays}.`;
  if (image) return `Give images:DIRECTORY with a folder a class, idx:DIRECTORY, or ${arrays}.`;
  if (text) return `Give text:FILE or jsonl:FILE with --tokenizer, or ${arrays}.`;
  return `Give ${arrays}.`;
}

export function describeInput({ name, dtype, dims }: ValueInfo): string {
  return `${name} (${dtype} [${dims.join(', ')}])`;
}
