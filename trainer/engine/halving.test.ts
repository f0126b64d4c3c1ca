import { expect, test } from 'vitest';
import { SppError } from '../../schema/errors.ts';
import { inHalves, isOutOfMemory } from './halving.ts';

const full = () =>
  new SppError(
    'bad-model',
    'onnxruntime cannot run the model: Failed to allocate memory for requested buffer of size 9',
  );

test('halves until it fits, says so each time, and keeps the size', async () => {
  const said: number[] = [];
  const attempt = async (size: number) => {
    if (size > 10) throw full();
    return size * 2;
  };
  expect(await inHalves(64, attempt, (size) => said.push(size))).toEqual({ result: 16, size: 8 });
  expect(said).toEqual([32, 16, 8]);
});

test('gives up at one example, and at once for any other error', async () => {
  let tries = 0;
  const never = async () => {
    tries++;
    throw full();
  };
  await expect(inHalves(4, never, () => {})).rejects.toThrow('Failed to allocate');
  expect(tries).toBe(3);
  const wrong = async () => {
    throw new SppError('bad-shape', 'The batch is empty.');
  };
  await expect(inHalves(4, wrong, () => expect.unreachable())).rejects.toThrow('empty');
});

test('knows the words of each engine, in causes too', () => {
  expect(isOutOfMemory(new Error('std::bad_alloc'))).toBe(true);
  expect(isOutOfMemory(new RangeError('Array buffer allocation failed'))).toBe(true);
  expect(
    isOutOfMemory(
      new Error('died', { cause: Object.assign(new Error('x'), { code: 'ERR_WORKER_OUT_OF_MEMORY' }) }),
    ),
  ).toBe(true);
  expect(isOutOfMemory(new Error('shape mismatch'))).toBe(false);
});
