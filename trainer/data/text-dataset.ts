/** A plain text file as windows of tokens; read in blocks, so that only the tokens are ever held. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { SppError } from '../../schema/errors.ts';
import { BadRecords } from './bad-records.ts';
import { type DataSettings, DEFAULT_LENGTH } from './data-settings.ts';
import type { Dataset } from './dataset.ts';
import { TokenRun, windowDataset } from './token-windows.ts';
import { openTokenizer, type Tokenizer } from './tokenizer.ts';
import { unreadable } from './unreadable.ts';

/** @throws `bad-data`; `usage` when no tokenizer was named */
export async function openText(file: string, settings: DataSettings, name: string): Promise<Dataset> {
  const tokenizer = await requiredTokenizer(settings, name);
  const length = settings.length ?? DEFAULT_LENGTH;
  const hash = createHash('sha256');
  const run = new TokenRun();
  const bad = new BadRecords();
  let read = 0;
  for await (const { text, line } of textBlocks(file)) {
    hash.update(text);
    const ids = tokenizer.encode(text);
    read += ids.length;
    if (!ids.includes(-1)) {
      run.append(ids);
      continue;
    }
    run.append(ids.filter((id) => id !== -1));
    reportUnknown(text, line, tokenizer, file, bad);
  }
  bad.settle(file, read, settings);
  const recipe = { tokenizer: tokenizer.sha256, length };
  return windowDataset({ name, sha256: hash.digest('hex'), recipe }, run.tokens(), length);
}

/** @throws `usage` */
export async function requiredTokenizer({ tokenizer }: DataSettings, name: string): Promise<Tokenizer> {
  if (tokenizer !== undefined) return openTokenizer(tokenizer);
  throw new SppError('usage', `${name} holds text, and there is no tokenizer.`, {
    hint: 'Name one with --tokenizer tokenizer.json, or --tokenizer chars:FILE.',
  });
}

/** Only character lists lack anything, so each character stands for itself. */
function reportUnknown(
  text: string,
  line: number,
  tokenizer: Tokenizer,
  file: string,
  bad: BadRecords,
): void {
  let at = line;
  for (const character of text) {
    if (tokenizer.encode(character).includes(-1))
      bad.add(`${file}:${at}`, `the vocabulary has no ${JSON.stringify(character)}`);
    if (character === '\n') at++;
  }
}

/** The file in blocks of about a megabyte, cut behind line ends. @throws `bad-data` when it cannot be read */
export async function* textBlocks(file: string): AsyncGenerator<{ text: string; line: number }> {
  let rest = '';
  let line = 1;
  try {
    for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: 1 << 20 })) {
      const text = rest + String(chunk);
      const end = text.lastIndexOf('\n') + 1;
      rest = text.slice(end);
      if (end === 0) continue;
      const block = text.slice(0, end);
      yield { text: block, line };
      line += block.split('\n').length - 1;
    }
  } catch (cause) {
    if (cause instanceof SppError) throw cause;
    throw unreadable('data file', file, cause);
  }
  if (rest !== '') yield { text: rest, line };
}
