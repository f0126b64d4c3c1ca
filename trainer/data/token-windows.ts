/** A long run of tokens as examples: windows of equal length, each token to be predicted from those before it. */
import { SppError } from '../../schema/errors.ts';
import type { Dataset, Split } from './dataset.ts';
import { type Rows, RowWriter } from './rows.ts';

const TRAIN_SHARE = 0.9;
const TOKEN_BYTES = 4;

/** Token ids, kept in a file when they are many. */
export class TokenRun {
  private readonly writer = new RowWriter(TOKEN_BYTES);

  append(tokens: readonly number[]): void {
    const ids = Int32Array.from(tokens);
    this.writer.write(new Uint8Array(ids.buffer));
  }

  /** Nothing may be appended afterwards. */
  tokens(): Rows {
    return this.writer.finish();
  }
}

/**
 * Neighbouring windows of the first 90 % for training, of the rest for testing.
 * @throws `bad-data` when there is not a window for each
 */
export function windowDataset(
  source: Pick<Dataset, 'name' | 'sha256' | 'recipe'>,
  tokens: Rows,
  length: number,
): Dataset {
  const cut = Math.floor(tokens.count * TRAIN_SHARE);
  const train = windowSplit(tokens, 0, cut, length);
  const test = windowSplit(tokens, cut, tokens.count, length);
  if (train.count === 0 || test.count === 0) {
    throw new SppError(
      'bad-data',
      `${source.name} has ${tokens.count} tokens, too few for windows of ${length}.`,
      { hint: 'Give more text, or a shorter --length.' },
    );
  }
  return {
    ...source,
    fields: [{ name: 'tokens', role: 'tokens', dtype: 'int32', shape: [length] }],
    targets: { kind: 'next-token' },
    train,
    test,
  };
}

/** Window i of the tokens from `start` on holds tokens i * length on; the one behind its last token is that token's label. */
function windowSplit(tokens: Rows, start: number, end: number, length: number): Split {
  const take = (indices: readonly number[], shift: number) => {
    const data = new Int32Array(indices.length * length);
    const bytes = new Uint8Array(data.buffer);
    for (const [row, index] of indices.entries())
      bytes.set(tokens.range(start + index * length + shift, length), row * length * TOKEN_BYTES);
    return data;
  };
  return {
    count: Math.max(0, Math.floor((end - start - 1) / length)),
    read: async (indices) => ({
      tokens: { dtype: 'int32', dims: [indices.length, length], data: take(indices, 0) },
    }),
    labels: (indices) => take(indices, 1),
  };
}
