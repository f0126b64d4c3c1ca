/** Sequences of different lengths: shared runs where filling up is exact, and what is measured and kept of them. */
import { readdir, readFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { nodeReportSchema } from '../../schema/node-report.ts';
import { gatedThreads } from '../../test/support/gated-threads.ts';
import { disposables, inferOk, post, readyNode, temporaryDirectory } from '../../test/support/node-client.ts';
import { sequenceReference, writeTinySequence } from '../../test/support/tiny-sequence.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const SEQUENCES = [
  [0, 1, 2, 3, 4],
  [4, 4, 1, 0, 2, 3, 1],
  [2, 3, 3, 1, 0, 0],
  [1, 1, 1, 1, 2, 2, 2, 2],
];

const request = (ids: readonly number[]) => ({
  inputs: [
    { name: 'input_ids', shape: [1, ids.length], datatype: 'INT64', data: ids },
    { name: 'attention_mask', shape: [1, ids.length], datatype: 'INT64', data: ids.map(() => 1) },
  ],
});

/** Lets sequences wait together, and tells how many runs they came to. */
async function together(masked: boolean) {
  const directory = await temporaryDirectory(scope);
  await writeTinySequence(directory, masked);
  const gate = gatedThreads();
  const node = await readyNode(scope, { artifact: directory }, { spawn: gate.spawn });
  const url = `${node.url}/v2/models/sequence/versions/1/infer`;
  const runs = () =>
    (node.report().models[0]?.levels[1]?.profiles ?? []).reduce((sum, { samples }) => sum + samples, 0);
  gate.hold();
  const first = inferOk(url, request([1]));
  await gate.held(1);
  const before = runs();
  const waiting = SEQUENCES.map((ids) => inferOk(url, request(ids)));
  await expect.poll(() => node.report().queueLength).toBe(SEQUENCES.length);
  gate.release();
  await first;
  const answers = await Promise.all(waiting);
  for (const [i, { body }] of answers.entries()) {
    const wanted = sequenceReference(1, SEQUENCES[i]!);
    const [logits, states] = body.outputs;
    expect(states?.shape).toEqual([1, SEQUENCES[i]!.length, 4]);
    for (const [at, value] of wanted.logits.entries()) expect(logits?.data[at]).toBeCloseTo(value, 5);
    for (const [at, value] of wanted.states.entries()) expect(states?.data[at]).toBeCloseTo(value, 5);
  }
  return { runs: runs() - before - 1, node, directory };
}

test('sequences that come to be longer than they were read as are refused', async () => {
  const directory = await temporaryDirectory(scope);
  await writeTinySequence(directory, true);
  const node = await readyNode(scope, { artifact: directory });
  const path = `${node.url}/v2/models/sequence/versions/1/infer`;
  const status = async (ids: readonly number[], work: string) =>
    (await post(path, request(ids), { 'x-path-work': work })).status;
  expect(await status([0, 1, 2], '1;4')).toBe(200);
  expect(await status([0, 1, 2, 3, 4], '1;4')).toBe(400);
  expect(await status([0, 1, 2, 3, 4], '1;8')).toBe(200);
  expect(await status([0, 1, 2], '1')).toBe(400);
});

describe('sequences of different lengths', () => {
  test('share a run where the model keeps to its mask, and each gets the answer it would get alone', async () => {
    const { runs } = await together(true);
    expect(runs).toBe(1);
  });

  test('run each by itself where filling them up would change the answer', async () => {
    const { runs } = await together(false);
    expect(runs).toBe(SEQUENCES.length);
  });

  test('are measured by length, told in the report, and known to the next start', async () => {
    const { node, directory } = await together(true);
    const [level] = nodeReportSchema.parse(node.report()).models[0]?.levels ?? [];
    expect([...new Set(level?.lengthProfiles?.map(({ length }) => length))]).toEqual([1, 16, 64, 256]);
    await node.close();
    const next = await readyNode(scope, { artifact: directory });
    const [again] = next.report().models[0]?.levels ?? [];
    const samples = (length: number) =>
      again?.lengthProfiles?.find((profile) => profile.length === length && profile.batch === 1)?.samples;
    // What was measured is there again; a machine whose speed has changed in between measures more.
    const before = level?.lengthProfiles?.find(({ length }) => length === 64)?.samples ?? Number.NaN;
    expect(samples(64)).toBeGreaterThanOrEqual(before);
    await next.close();
    const [saved] = await readdir(`${directory}/.node`);
    expect(JSON.parse(await readFile(`${directory}/.node/${saved}/profiles.json`, 'utf8'))).toMatchObject({
      device: expect.stringContaining('cpu, 1 threads'),
    });
  });
});
