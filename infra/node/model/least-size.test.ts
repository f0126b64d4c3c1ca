import { expect, test } from 'vitest';
import { SppError } from '../../../schema/errors.ts';
import type { PackedInputs } from '../tensors.ts';
import { leastSize } from './least-size.ts';

const fixed = { name: 'x', datatype: 'FP32' as const, shape: [-1, 3] };
const text = { name: 'ids', datatype: 'INT64' as const, shape: [-1, -1] };
const image = { name: 'pixels', datatype: 'FP32' as const, shape: [-1, 3, -1, -1] };

/** A model that takes what `does` says of the inputs' shapes, and the shapes that it was tried with. */
function model(does: (...shapes: (readonly number[])[]) => boolean) {
  const tried: string[] = [];
  const run = async ({ feeds }: PackedInputs) => {
    const shapes = feeds.map(({ dims }) => dims);
    tried.push(shapes.join(' '));
    if (!does(...shapes)) throw new SppError('bad-request', 'too small');
  };
  return { run, tried };
}

test('a model whose requests choose no size is not tried', async () => {
  const { run, tried } = model(() => false);
  expect(await leastSize([fixed], run)).toEqual({ length: 1, side: 1 });
  expect(tried).toEqual([]);
});

test('one token does where it does', async () => {
  const { run, tried } = model(() => true);
  expect(await leastSize([fixed, text], run)).toEqual({ length: 1, side: 1 });
  expect(tried).toEqual(['1,3 1,1']);
});

test('sound is as long as it must be', async () => {
  const { run } = model(([, length = 0] = []) => length >= 400);
  expect(await leastSize([text], run)).toEqual({ length: 512, side: 1 });
});

test('images are as large as they must be, and the text beside them as long', async () => {
  const { run } = model((pixels, ids) => (pixels?.[2] ?? 0) >= 20 && (ids?.[1] ?? 0) === 2);
  expect(await leastSize([image, text], run)).toEqual({ length: 2, side: 32 });
});

test('nothing is chosen for a model that takes none', async () => {
  const { run } = model(() => false);
  expect(await leastSize([image], run)).toEqual({ length: 1, side: 1 });
});

test('a level that cannot be had says nothing of sizes', async () => {
  const run = async () => {
    throw new SppError('level-unavailable', 'damaged');
  };
  await expect(leastSize([text], run)).rejects.toMatchObject({ code: 'level-unavailable' });
});
