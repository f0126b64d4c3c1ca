import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { inOrder, type SessionPool, startSessionPool } from './session-pool.ts';

const doubling: Graph = {
  name: 'doubling',
  irVersion: 8,
  opsets: { '': 17 },
  inputs: [{ name: 'x', dtype: 'float32', dims: ['n'] }],
  outputs: [{ name: 'y', dtype: 'float32', dims: ['n'] }],
  initializers: new Map(),
  nodes: [{ name: 'sum', opType: 'Add', domain: '', inputs: ['x', 'x'], outputs: ['y'], attributes: {} }],
};

test('has as many threads as hold their weights in the memory that a container gets', async () => {
  const limit = vi.spyOn(process, 'constrainedMemory').mockReturnValue(2 ** 26);
  try {
    // A quarter of 64 MiB, in which sessions take twice 4 MiB each.
    const pool = startSessionPool(2 ** 22, 8);
    expect(pool.size).toBe(2);
    await pool.close();
  } finally {
    limit.mockRestore();
  }
});

describe('a pool of sessions', () => {
  let pool: SessionPool;
  beforeAll(() => {
    pool = startSessionPool(0, 2);
  });
  afterAll(() => pool.close());

  test('gives each run its own answer, however many are under way', async () => {
    const session = await pool.open(writeOnnx(doubling));
    const fed = (i: number) => ({ x: { dtype: 'float32' as const, dims: [1], data: Float32Array.of(i) } });
    const runs = await Promise.all(Array.from({ length: 20 }, (_, i) => session.run(fed(i))));
    expect(runs.map(({ y }) => y?.data[0])).toEqual(runs.map((_, i) => 2 * i));
    await session.close();
  });

  test('memory that is given goes along, what is not stays', async () => {
    const session = await pool.open(writeOnnx(doubling));
    const [given, kept] = [Float32Array.of(3), Float32Array.of(4)];
    const fed = (data: Float32Array) => ({ x: { dtype: 'float32' as const, dims: [1], data } });
    const answers = [await session.run(fed(given), ['y'], [given.buffer]), await session.run(fed(kept))];
    expect(answers.map(({ y }) => y?.data[0])).toEqual([6, 8]);
    expect([given.length, kept.length]).toEqual([0, 1]);
    await session.close();
  });

  test('tells what onnxruntime refuses, and goes on', async () => {
    await expect(pool.open(new Uint8Array([1, 2, 3]))).rejects.toMatchObject({ code: 'bad-model' });
    const session = await pool.open(writeOnnx(doubling));
    await expect(session.run({})).rejects.toMatchObject({ code: 'bad-model' });
    await session.close();
  });

  test('shares a session where weights in every thread would take too much memory', async () => {
    const large = startSessionPool(2 ** 60, 4);
    expect(large.size).toBe(1);
    await large.close();
  });
});

describe('work in order', () => {
  const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  test('takes results in the order of the items, with so many ahead and no more', async () => {
    let [under, most] = [0, 0];
    const taken: number[] = [];
    await inOrder(
      [30, 5, 1, 20, 2],
      3,
      async (ms) => {
        under += 1;
        most = Math.max(most, under);
        await later(ms);
        under -= 1;
        return ms;
      },
      (ms) => {
        taken.push(ms);
      },
    );
    expect(taken).toEqual([30, 5, 1, 20, 2]);
    expect(most).toBe(3);
  });

  test('stops when enough is there, and waits for what is under way', async () => {
    const finished: number[] = [];
    const make = async (item: number) => {
      await later(5 * item);
      finished.push(item);
      return item;
    };
    await inOrder([1, 2, 3, 4, 5], 2, make, (item) => item < 2);
    expect(finished).toEqual([1, 2, 3]);
  });

  test('throws the first failure, after what was under way has ended', async () => {
    let ended = false;
    const make = async (item: number) => {
      if (item === 1) throw new Error('the first');
      await later(10);
      ended = true;
    };
    await expect(inOrder([1, 2], 2, make, () => {})).rejects.toThrow('the first');
    expect(ended).toBe(true);
  });
});
