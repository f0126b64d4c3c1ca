import { expect, test } from 'vitest';
import type { Tensor } from '../../trainer/graph/graph.ts';
import { randomSource } from '../../trainer/search/random.ts';
import { fitProbe, hitsOf } from './probe.ts';

/** Rows whose label is the side of a plane that does not go through the origin. */
function rows(count: number, seed: number): { embeddings: Tensor; labels: Int32Array } {
  const source = randomSource(seed, 0, 0);
  const data = Float32Array.from({ length: 3 * count }, () => source.uniform());
  const labels = Int32Array.from({ length: count }, (_, row) =>
    Number((data[3 * row] as number) + 2 * (data[3 * row + 1] as number) > 1.5),
  );
  return { embeddings: { dtype: 'float32', dims: [count, 3], data }, labels };
}

test('tells linear classes apart on rows that it has not seen', () => {
  const [seen, unseen] = [rows(400, 1), rows(400, 2)];
  const probe = fitProbe(seen.embeddings, seen.labels);
  const right = hitsOf(probe, unseen.embeddings, unseen.labels).filter((hit) => hit).length;
  expect(right).toBeGreaterThan(370);
});

test('knows nothing from labels that have nothing to do with the rows', () => {
  const [seen, unseen] = [rows(400, 1), rows(400, 2)];
  const source = randomSource(3, 0, 0);
  const coins = (count: number) => Int32Array.from({ length: count }, () => Number(source.uniform() < 0.5));
  const probe = fitProbe(seen.embeddings, coins(400));
  const right = hitsOf(probe, unseen.embeddings, coins(400)).filter((hit) => hit).length;
  expect(Math.abs(right - 200)).toBeLessThan(60);
});
