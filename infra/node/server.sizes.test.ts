/** A model whose images may have any size, but for ones that are too small for it. */
import { afterEach, expect, test } from 'vitest';
import {
  disposables,
  inferOk,
  post,
  problemOf,
  readyNode,
  temporaryDirectory,
} from '../../test/support/node-client.ts';
import { imageReference, writeTinyImage } from '../../test/support/tiny-image.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const request = (side: number, value: number) => ({
  inputs: [
    {
      name: 'image',
      shape: [1, 1, side, side],
      datatype: 'FP32',
      data: Array(side * side).fill(value),
    },
  ],
});

test('is measured with images that it takes, and answers those of all sizes', async () => {
  const directory = await temporaryDirectory(scope);
  await writeTinyImage(directory);
  const node = await readyNode(scope, { artifact: directory });
  const url = `${node.url}/v2/models/image/infer`;
  const wanted = imageReference(0.5).map((value) => expect.closeTo(value, 4));
  for (const side of [4, 8, 40])
    expect((await inferOk(url, request(side, 0.5))).body.outputs[0]?.data).toEqual(wanted);
  for (const level of node.report().models[0]?.levels ?? [])
    expect(level.profiles.map(({ batch }) => batch)).toContain(8);
  // What is too small is the request's fault, and no level's.
  const refused = await post(url, request(1, 0.5));
  expect(await problemOf(refused)).toMatchObject({ code: 'bad-request' });
  expect(node.report().models[0]?.levels).toHaveLength(2);
});
