/** A long run of tokens as examples: windows of equal length, each token to be predicted from those before it. */
import { SppError } from '../../schema/errors.ts';
import type { Dataset, Split } from './dataset.ts';

const TRAIN_SHARE = 0.9;

/** Token ids that grow without being copied each time. */
export class TokenRun {
  private ids = new Int32Array(1 << 16);
  private count = 0;

  append(tokens: Iterable<number>): void {
    for (const token of tokens) {
      if (this.count === this.ids.length) {
        const wider = new Int32Array(2 * this.count);
        wider.set(this.ids);
        this.ids = wider;
      }
      this.ids[this.count++] = token;
    }
  }

  tokens(): Int32Array {
    return this.ids.subarray(0, this.count);
  }
}

/**
 * Neighbouring windows of the first 90 % for training, of the rest for testing.
 * @throws `bad-data` when there is not a window for each
 */
export function windowDataset(
  source: Pick<Dataset, 'name' | 'sha256' | 'recipe'>,
  tokens: Int32Array,
  length: number,
): Dataset {
  const cut = Math.floor(tokens.length * TRAIN_SHARE);
  const train = windowSplit(tokens.subarray(0, cut), length);
  const test = windowSplit(tokens.subarray(cut), length);
  if (train.count === 0 || test.count === 0) {
    throw new SppError(
      'bad-data',
      `${source.name} has ${tokens.length} tokens, too few for windows of ${length}.`,
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

/** Window i holds tokens i * length on; the one behind its last token is that token's label. */
export function windowSplit(tokens: Int32Array, length: number): Split {
  const take = (indices: readonly number[], shift: number) => {
    const data = new Int32Array(indices.length * length);
    for (const [row, index] of indices.entries()) {
      const from = index * length + shift;
      data.set(tokens.subarray(from, from + length), row * length);
    }
    return data;
  };
  return {
    count: Math.max(0, Math.floor((tokens.length - 1) / length)),
    read: async (indices) => ({
      tokens: { dtype: 'int32', dims: [indices.length, length], data: take(indices, 0) },
    }),
    labels: (indices) => take(indices, 1),
  };
}
