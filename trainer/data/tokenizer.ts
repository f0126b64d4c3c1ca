/** From text to token ids: a Hugging Face tokenizer.json, or a list of characters. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import { unreadable } from './unreadable.ts';

export interface Tokenizer {
  /** Running text, without special tokens; -1 for what the vocabulary lacks. */
  encode(text: string): readonly number[];
  /** One whole text with the special tokens that the model was trained with. */
  encodeWhole(text: string): readonly number[];
  /** Fills up texts; masked, so that its value does not matter where the vocabulary has none. */
  readonly padding: number;
  readonly sha256: string;
}

const characterListSchema = z.union([
  z.array(z.string().min(1)).min(1),
  z.object({ vocabulary: z.array(z.string().min(1)).min(1) }).transform(({ vocabulary }) => vocabulary),
]);
const configSchema = z.object({
  pad_token: z.union([z.string(), z.object({ content: z.string() })]).nullish(),
});

/**
 * @param spec a tokenizer.json (its tokenizer_config.json beside it is read too), or `chars:FILE`
 * @throws `bad-data` when the file is not there or not what it should be
 */
export async function openTokenizer(spec: string): Promise<Tokenizer> {
  const characters = spec.startsWith('chars:');
  const file = characters ? spec.slice('chars:'.length) : spec;
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw unreadable('tokenizer file', file, cause);
  });
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const json = parsed(bytes, file);
  return characters ? characterTokenizer(json, file, sha256) : huggingFaceTokenizer(json, file, sha256);
}

function characterTokenizer(json: unknown, file: string, sha256: string): Tokenizer {
  const list = characterListSchema.safeParse(json);
  if (!list.success) {
    throw new SppError('bad-data', `${file} is not a list of characters.`, {
      hint: 'It is a JSON list, or an object whose "vocabulary" is one; a character\'s id is its place.',
    });
  }
  const ids = new Map(list.data.map((character, id) => [character, id]));
  const encode = (text: string) => Array.from(text, (character) => ids.get(character) ?? -1);
  return { encode, encodeWhole: encode, padding: 0, sha256 };
}

async function huggingFaceTokenizer(json: unknown, file: string, sha256: string): Promise<Tokenizer> {
  const config = await readFile(join(dirname(file), 'tokenizer_config.json')).then(
    (bytes) => parsed(bytes, 'tokenizer_config.json'),
    () => ({}),
  );
  try {
    const tokenizer = new HuggingFaceTokenizer(json as object, config as object);
    const pad = configSchema.safeParse(config).data?.pad_token;
    const token = typeof pad === 'string' ? pad : pad?.content;
    return {
      encode: (text) => tokenizer.encode(text, { add_special_tokens: false }).ids,
      encodeWhole: (text) => tokenizer.encode(text).ids,
      padding: token === undefined ? 0 : (tokenizer.token_to_id(token) ?? 0),
      sha256,
    };
  } catch (cause) {
    throw new SppError('bad-data', `${file} is not a tokenizer that can be used.`, {
      hint: 'It is the tokenizer.json that Hugging Face models come with; chars:FILE takes a list of characters.',
      cause,
    });
  }
}

function parsed(bytes: Uint8Array, file: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw new SppError('bad-data', `${file} is not JSON.`, { cause });
  }
}
