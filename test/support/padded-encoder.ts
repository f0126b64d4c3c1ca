/** A small encoder of texts that are two thirds padding, and the texts, each also alone. */
import type { Dataset, Tensors } from '../../trainer/data/dataset.ts';
import type { Graph, Tensor } from '../../trainer/graph/graph.ts';
import { HEAD, mlp, norm, project, threeHeads, WIDTH } from '../../trainer/pairs/layout-blocks.case.ts';
import { randomSource } from '../../trainer/search/random.ts';
import { GraphBuilder } from './graph-builder.ts';

const VOCABULARY = 60;
const LAYERS = 2;
const PAD = 0;
const SMALL = 0.3;
/** Of a padded text. */
export const TOKENS = 24;

/** Of each token [batch, length, WIDTH], the last norm's output; padded tokens are seen by no other one. */
export function paddedEncoder(): Graph {
  const b = new GraphBuilder();
  const ids = b.input('input_ids', ['batch', 'length'], 'int64');
  const mask = b.input('attention_mask', ['batch', 'length'], 'int64');
  const marks = b.op('Cast', [mask], { to: 1 });
  const off = b.op('Mul', [b.op('Sub', [b.scalar(1), marks]), b.scalar(-1e9)]);
  const keys = b.op('Unsqueeze', [off, b.ints(1, 2)]); // [batch, 1, 1, length]
  // Smaller than what is added to them, so that cutting is seen.
  const words = b.op('Mul', [b.op('Gather', [b.weight(VOCABULARY, WIDTH), ids]), b.scalar(SMALL)]);
  // As trained encoders do, this one makes something of padding that is like no token.
  const apart = b.op('Unsqueeze', [b.op('Sub', [b.scalar(1), marks]), b.ints(-1)]);
  let x = b.op('Add', [words, b.op('Mul', [apart, b.weight(1, 1, WIDTH)])]);
  for (let layer = 0; layer < LAYERS; layer++) {
    const [q, k, v] = threeHeads(b, norm(b, x));
    const products = b.op('MatMul', [q, b.op('Transpose', [k], { perm: [0, 1, 3, 2] })]);
    const scores = b.op('Div', [products, b.scalar(Math.sqrt(HEAD))]);
    const shares = b.op('Softmax', [b.op('Add', [scores, keys])], { axis: -1 });
    x = b.op('Add', [x, project(b, b.op('MatMul', [shares, v]))]);
    x = b.op('Add', [x, mlp(b, norm(b, x))]);
  }
  return b.build({ states: [norm(b, x), ['batch', 'length', WIDTH]] });
}

/** The ids of text i: 4 to 12 of them. */
function textOf(i: number): number[] {
  const random = randomSource(5, 1, i);
  const length = 4 + random.below(9);
  return Array.from({ length }, () => 1 + random.below(VOCABULARY - 1));
}

function row(values: readonly number[][]): Tensor {
  const dims = [values.length, values[0]?.length ?? 0];
  return { dtype: 'int64', dims, data: BigInt64Array.from(values.flat(), BigInt) };
}

/** The same input without a token of padding. */
export function textAlone(i: number): Tensors {
  const ids = textOf(i);
  return { input_ids: row([ids]), attention_mask: row([ids.map(() => 1)]) };
}

/** Texts filled up to `TOKENS`. @param masked whether the data says what is padding; else each text counts as whole */
export function paddedTexts(count: number): Dataset {
  const filled = (ids: readonly number[], more: number) => [
    ...ids,
    ...Array<number>(TOKENS - ids.length).fill(more),
  ];
  const read = async (indices: readonly number[]) => {
    const texts = indices.map(textOf);
    return {
      input_ids: row(texts.map((ids) => filled(ids, PAD))),
      attention_mask: row(
        texts.map((ids) =>
          filled(
            ids.map(() => 1),
            0,
          ),
        ),
      ),
    };
  };
  const split = { count, read };
  const fields = ['input_ids', 'attention_mask'].map((name) => ({
    name,
    dtype: 'int64' as const,
    shape: [TOKENS],
  }));
  return { name: 'padded texts', fields, train: split, test: split, sha256: '', recipe: {} };
}
