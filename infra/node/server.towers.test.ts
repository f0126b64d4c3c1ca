/** A model whose rows meet: what one request gets must not depend on who waits beside it. */
import { afterEach, expect, test } from 'vitest';
import { gatedThreads } from '../../test/support/gated-threads.ts';
import { disposables, inferOk, readyNode, temporaryDirectory } from '../../test/support/node-client.ts';
import { towersReference, writeTinyTowers } from '../../test/support/tiny-towers.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const IMAGES = [
  [0.5, -1, 2, 0.25],
  [-3, 1, 0, 1],
];
const TEXTS = [
  [1, 1, 1, 1],
  [0, 2, -2, 0.5],
  [4, 3, 2, 1],
];

const tensor = (name: string, rows: readonly (readonly number[])[]) => ({
  name,
  shape: [rows.length, 4],
  datatype: 'FP32',
  data: rows.flat(),
});
const request = (images: readonly (readonly number[])[], texts: readonly (readonly number[])[]) => ({
  inputs: [tensor('image', images), tensor('text', texts)],
});

async function towers() {
  const directory = await temporaryDirectory(scope);
  await writeTinyTowers(directory);
  const gate = gatedThreads();
  const node = await readyNode(scope, { artifact: directory }, { spawn: gate.spawn });
  return { node, gate, url: `${node.url}/v2/models/towers/infer` };
}

const scores = (images: readonly (readonly number[])[], texts: readonly (readonly number[])[]) =>
  towersReference(images, texts)
    .flat()
    .map((value) => expect.closeTo(value, 4));

test('requests that wait together are answered as if each were alone', async () => {
  const { node, gate, url } = await towers();
  gate.hold();
  const first = inferOk(url, request(IMAGES.slice(0, 1), TEXTS.slice(0, 1)));
  await gate.held(1);
  const waiting = [TEXTS.slice(0, 2), TEXTS.slice(1)].map((texts) => inferOk(url, request(IMAGES, texts)));
  await expect.poll(() => node.report().queueLength).toBe(2);
  gate.release();
  await first;
  const [one, other] = await Promise.all(waiting);
  expect(one?.body.outputs[0]).toMatchObject({ shape: [2, 2], data: scores(IMAGES, TEXTS.slice(0, 2)) });
  expect(other?.body.outputs[0]).toMatchObject({ shape: [2, 2], data: scores(IMAGES, TEXTS.slice(1)) });
});

test('inputs have as many rows as they like', async () => {
  const { url } = await towers();
  const { body } = await inferOk(url, request(IMAGES.slice(0, 1), TEXTS));
  expect(body.outputs[0]).toMatchObject({ shape: [1, 3], data: scores(IMAGES.slice(0, 1), TEXTS) });
});
