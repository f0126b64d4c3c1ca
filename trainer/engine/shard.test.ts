import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Tensor } from '../graph/graph.ts';
import { type Shard, splitBatch } from './shard.ts';

const tensor = (dims: number[], from: number): Tensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => from + i),
});

function shardOf(batch: number, perExample: number): Shard {
  return {
    feeds: { x: tensor([batch, 2], 0), scale: tensor([3], 7) },
    loss: {
      kind: 'cross-entropy',
      output: 'y',
      labels: Int32Array.from({ length: batch * perExample }, (_, i) => i),
    },
  };
}

test('parts are even, in order, and together the whole batch', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 3 }),
      (batch, parts, per) => {
        const whole = shardOf(batch, per);
        const cut = splitBatch(whole, parts, ['x']);
        const sizes = cut.map(({ feeds }) => feeds.x?.dims[0] as number);
        expect(cut).toHaveLength(Math.min(parts, batch));
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(cut.flatMap(({ feeds }) => Array.from((feeds.x as Tensor).data as Float32Array))).toEqual(
          Array.from((whole.feeds.x as Tensor).data as Float32Array),
        );
        expect(cut.flatMap(({ loss }) => (loss.kind === 'cross-entropy' ? [...loss.labels] : []))).toEqual(
          whole.loss.kind === 'cross-entropy' ? [...whole.loss.labels] : [],
        );
        for (const { feeds } of cut) expect(feeds.scale).toBe(whole.feeds.scale);
      },
    ),
  );
});

test('a teacher is cut with its examples', () => {
  const shard: Shard = {
    feeds: { x: tensor([3, 1], 0) },
    loss: { kind: 'kl', output: 'y', teacher: tensor([3, 2, 2], 0) },
  };
  const teachers = splitBatch(shard, 2, ['x']).map(({ loss }) =>
    loss.kind === 'kl' ? loss.teacher : undefined,
  );
  expect(teachers.map((teacher) => teacher?.dims)).toEqual([
    [2, 2, 2],
    [1, 2, 2],
  ]);
  expect(teachers[1]?.data).toEqual(Float32Array.of(8, 9, 10, 11));
});

test('refuses an empty batch, and a target of another size', () => {
  expect(() => splitBatch(shardOf(0, 1), 2, ['x'])).toThrow('The batch is empty');
  const shard = shardOf(4, 1);
  const other: Shard = { ...shard, feeds: { ...shard.feeds, x: tensor([3, 2], 0) } };
  expect(() => splitBatch(other, 2, ['x'])).toThrow('do not go with a target of 4 rows');
});
