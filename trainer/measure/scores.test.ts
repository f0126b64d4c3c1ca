import { describe, expect, test } from 'vitest';
import type { Tensor } from '../graph/graph.ts';
import { meanInterval } from './interval.ts';
import { divergences, information, scorers } from './scores.ts';

const tensor = (dims: readonly number[], values: readonly number[]): Tensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from(values),
});
const none = tensor([0], []);

describe('scores', () => {
  test('next-token: cross-entropy is -log of the softmax at the label, rows without a label do not count', () => {
    // Rows: p = (1/4, 3/4), (1/2, 1/2); (9/10, 1/10), not counted.
    const answer = tensor([2, 2, 2], [0, Math.log(3), 5, 5, Math.log(9), 0, 0, 9]);
    const scores = scorers['next-token'].score({
      answer,
      dense: none,
      labels: Int32Array.of(1, 0, 1, -1),
    });
    expect(scores['cross-entropy'][0]).toBeCloseTo((Math.log(4 / 3) + Math.log(2)) / 2, 6);
    expect(scores['cross-entropy'][1]).toBeCloseTo(Math.log(10), 6);
    expect(scores['next-token-accuracy']).toEqual([1, 0]);
  });

  test('distil: a model agrees with itself and is at no distance', () => {
    const answer = tensor([2, 3], [1, 2, 3, 3, 1, 2]);
    const scores = scorers.distil.score({ answer, dense: answer, labels: new Int32Array(0) });
    expect(scores).toEqual({ agreement: [1, 1], divergence: [0, 0] });
  });

  test('divergence of two known distributions', () => {
    // KL((1/2, 1/2) || (1/4, 3/4)) by hand: 0.5 log 2 + 0.5 log(2/3).
    const [value] = divergences(tensor([1, 2], [0, 0]), tensor([1, 2], [0, Math.log(3)]));
    expect(value).toBeCloseTo(0.5 * Math.log(2) + 0.5 * Math.log(2 / 3), 6);
  });

  test('what scores tell: the logarithm of as many classes as they are sure of, next to nothing where they hardly differ', () => {
    const sure = tensor([4, 2], [50, 0, 0, 50, 50, 0, 0, 50]);
    expect(information(sure, () => true)).toBeCloseTo(Math.log(2), 9);
    expect(information(sure, (row) => row % 2 === 0)).toBeCloseTo(0, 9);
    const flat = tensor([2, 2], [1e-3, 0, 0, 1e-3]);
    // To second order an eighth of the squared difference.
    expect(information(flat, () => true)).toBeCloseTo(1e-6 / 8, 10);
  });

  test('embedding: the cosine does not see length', () => {
    const { cosine } = scorers.embedding.score({
      answer: tensor([2, 2], [2, 0, 1, 1]),
      dense: tensor([2, 2], [5, 0, 1, 0]),
      labels: new Int32Array(0),
    });
    expect(cosine[0]).toBeCloseTo(1, 7);
    expect(cosine[1]).toBeCloseTo(Math.SQRT1_2, 7);
  });

  test('fidelity is one less the squared distance; padding does not count', () => {
    const { fidelity, cosine } = scorers.fidelity.score({
      answer: tensor([2, 2, 2], [1, 0.5, 9, 9, 0, 0, 0, 1]),
      dense: tensor([2, 2, 2], [1, 0, 0, 0, 0, 1, 0, 1]),
      labels: new Int32Array(0),
    });
    expect(fidelity).toEqual([0.75, 0.5]);
    expect(cosine?.[0]).toBeCloseTo(1 / Math.hypot(1, 0.5), 6);
    expect(cosine?.[1]).toBe(0.5);
  });

  test('a zero is an answer where an example has one row', () => {
    const [answer, dense] = [tensor([2, 1], [0.5, 1]), tensor([2, 1], [0, 1])];
    expect(scorers.fidelity.score({ answer, dense, labels: new Int32Array(0) }).fidelity).toEqual([0.75, 1]);
  });

  test('fidelity of a single number says nothing of its direction', () => {
    const [answer, dense] = [tensor([2, 1], [1, 2]), tensor([2, 1], [1, 1])];
    const scores = scorers.fidelity.score({ answer, dense, labels: new Int32Array(0) });
    expect(scores).toEqual({ fidelity: [1, 0] });
  });

  test('contrastive: found only when no other caption is as near', () => {
    // Towers of width 2; the third example's caption is the second's.
    const answer = tensor([3, 4], [1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0.9]);
    expect(scorers.contrastive.score({ answer, dense: answer, labels: new Int32Array(0) }).retrieval).toEqual(
      [1, 1, 0],
    );
  });

  test("contrastive: equal captions are each other's, but not those that only the level makes equal", () => {
    // The second and third example share a caption.
    const dense = tensor([3, 4], [1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1]);
    const found = (answer: Tensor) =>
      scorers.contrastive.score({ answer, dense, labels: new Int32Array(0) }).retrieval;
    expect(found(dense)).toEqual([1, 1, 1]);
    expect(found(tensor([3, 4], [1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]))).toEqual([0, 0, 0]);
  });

  test('a row that is not a number is an error', () => {
    const answer = tensor([1, 2], [Number.NaN, 1]);
    expect(() => scorers.classification.score({ answer, dense: none, labels: Int32Array.of(0) })).toThrow(
      /not a number/,
    );
  });
});

describe('interval of a mean', () => {
  test('covers the true mean about 95 times in 100', () => {
    // Sums of uniform draws by a small linear congruential generator; mean 0.5.
    let state = 12345;
    const uniform = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32;
    };
    let covered = 0;
    for (let run = 0; run < 1000; run++) {
      const { low, high } = meanInterval(Array.from({ length: 60 }, uniform));
      if (low <= 0.5 && 0.5 <= high) covered++;
    }
    expect(covered).toBeGreaterThan(925);
    expect(covered).toBeLessThan(970);
  });
});
