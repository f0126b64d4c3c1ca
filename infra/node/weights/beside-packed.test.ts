/** Levels beside another's packed file, held to the same levels as whole models, both run by onnxruntime. */
import { open, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openArtifact } from '../../../schema/artifact/store.ts';
import { evenShares, type VitSize, writeRandomVit } from '../../../scripts/bench-node/random-vit.ts';
import { disposables, temporaryDirectory } from '../../../test/support/node-client.ts';
import { artifactLevels } from '../model/level-source.ts';
import { externalData } from './external-data.ts';
import { type PackedModels, packedFile } from './packed-file.ts';
import { prefixHashes } from './prepacked-key.ts';
import { openWeightFile } from './weight-file.ts';

/** An MLP wide enough for blocks and for slices: 230, 499 and 768 units. */
const SIZE: VitSize = { image: 16, channels: 3, patch: 4, width: 192, heads: 3, layers: 1, classes: 10 };
const LEVELS = 3;

const scope = disposables();
afterEach(() => scope.dispose());
const shared = disposables();
const directories = new Map<boolean, string>();
beforeAll(async () => {
  for (const own of [true, false]) {
    const directory = await temporaryDirectory(shared);
    const shares = evenShares(LEVELS, 0.3);
    await writeRandomVit(directory, { id: 'vit', size: SIZE, shares, own });
    directories.set(own, directory);
  }
});
afterAll(() => shared.dispose());

/** The levels of an artifact, of which one is packed. */
async function packedBeside(packedLevel: number, own = false) {
  const artifact = await openArtifact(directories.get(own)!);
  const directory = await temporaryDirectory(scope);
  const file = await openWeightFile(artifact, directory, true);
  scope.onDispose(() => file.close());
  const packed = await packedFile(directory);
  scope.onDispose(() => packed.close());
  const lying = new Map<number, string>();
  for (let level = 0; level < LEVELS; level++) lying.set(level, await file.model(level));
  const others = new Map([...lying].filter(([level]) => level !== packedLevel));
  const models = await packed.pack(packedLevel, lying.get(packedLevel)!, others);
  const whole = artifactLevels(artifact, 1);
  return { models, lying, wanted: async (level: number) => run(await whole.model(level)) };
}

async function run(model: string | Uint8Array): Promise<Float32Array> {
  const session =
    typeof model === 'string' ? await InferenceSession.create(model) : await InferenceSession.create(model);
  const data = Float32Array.from({ length: 2 * 3 * 16 * 16 }, (_, i) => Math.sin(i * 0.37));
  const { logits } = await session.run({ pixel_values: new Tensor('float32', data, [2, 3, 16, 16]) });
  await session.release();
  return logits?.data as Float32Array;
}

/** The largest difference, relative to the largest logit. */
function difference(given: Float32Array, wanted: Float32Array): number {
  expect(given.length).toBe(wanted.length);
  const scale = Math.max(...wanted.map(Math.abs));
  return Math.max(...wanted.map((value, i) => Math.abs((given[i] ?? Number.NaN) - value) / scale));
}

const NEAR = 2e-5;

/** What a model takes packed from the file beside it: where it lies there, by tensor. */
async function takenBy(model: string): Promise<Map<string, { offset: number; bytes: number; hash: bigint }>> {
  const { graph } = fromBinary(ModelProtoSchema, await readFile(model));
  return new Map(
    graph!.initializer.flatMap((tensor) => {
      const entry = externalData(tensor).prepacked_0;
      if (entry === undefined) return [];
      const [hash = 0n, offset, bytes] = /\+(\d+)\|(\d+);(\d+)/.exec(entry)!.slice(1).map(BigInt);
      return [[tensor.name, { offset: Number(offset), bytes: Number(bytes), hash }] as const];
    }),
  );
}

const packedBytes = ({ path }: PackedModels) => readFile(join(dirname(path), 'packed.bin'));

describe('levels beside a packed one', () => {
  test.each([
    ['the dense one, all matrices shared', 2, false],
    ['one in between', 1, false],
    ['the dense one, each with output matrices of its own', 2, true],
  ])('%s, answer as whole models do', async (_, packedLevel, own) => {
    const { models, wanted } = await packedBeside(packedLevel, own);
    expect(difference(await run(models.path), await wanted(packedLevel))).toBeLessThan(NEAR);
    expect(models.beside.size).toBe(LEVELS - 1);
    for (const [level, path] of models.beside)
      expect(difference(await run(path), await wanted(level)), `level ${level}`).toBeLessThan(NEAR);
  });

  test('take the blocks that they have in common, the first slices of what takes units, and what has none', async () => {
    const { models } = await packedBeside(2);
    const names = async (level: number) => [...(await takenBy(models.beside.get(level)!)).keys()].toSorted();
    expect(await names(0)).toEqual(['head.weight', 'l0.fc1.weight#0', 'l0.fc2.weight']);
    expect(await names(1)).toEqual(['head.weight', 'l0.fc1.weight#0', 'l0.fc1.weight#1', 'l0.fc2.weight']);
    const [dense, beside] = [await takenBy(models.path), await takenBy(models.beside.get(1)!)];
    expect(beside.get('l0.fc1.weight#1')).toEqual(dense.get('l0.fc1.weight#1'));
    // 499 units end in the second of three slices.
    const whole = dense.get('l0.fc2.weight')!;
    expect(beside.get('l0.fc2.weight')).toMatchObject({ offset: whole.offset, bytes: (2 / 3) * whole.bytes });
  });

  test('compute on the data of that file', async () => {
    const { models, wanted } = await packedBeside(2);
    const path = models.beside.get(1)!;
    const bin = join(dirname(path), 'packed.bin');
    const intact = await packedBytes(models);
    for (const [name, { offset, bytes }] of await takenBy(path)) {
      const spoiled = Uint8Array.from(intact).fill(0, offset, offset + bytes);
      await writeFile(bin, spoiled);
      expect(difference(await run(path), await wanted(1)), name).toBeGreaterThan(0.001);
    }
    await writeFile(bin, intact);
    expect(difference(await run(path), await wanted(1))).toBeLessThan(NEAR);
  });

  test('compute on data of their own where the hash of it is another', async () => {
    const { models, wanted } = await packedBeside(2);
    const path = models.beside.get(1)!;
    const model = fromBinary(ModelProtoSchema, await readFile(path));
    for (const { externalData: entries } of model.graph!.initializer)
      for (const entry of entries)
        if (entry.key === 'prepacked_0') entry.value = entry.value.replace(/\+\d+\|/, '+8|');
    await writeFile(path, toBinary(ModelProtoSchema, model));
    const bin = await open(join(dirname(path), 'packed.bin'), 'r+');
    for (const { offset, bytes } of (await takenBy(path)).values())
      await bin.write(new Uint8Array(bytes), 0, bytes, offset);
    await bin.close();
    expect(difference(await run(path), await wanted(1))).toBeLessThan(NEAR);
  });
});

test("hashes of packed weights are onnxruntime's", async () => {
  const { models } = await packedBeside(2);
  const packed = await packedBytes(models);
  const all = [...(await takenBy(models.path)).values()];
  expect(all.length).toBeGreaterThan(5);
  for (const { offset, bytes, hash } of all) {
    const data = Uint8Array.from(packed.subarray(offset, offset + bytes));
    expect(prefixHashes(data, [bytes / 2, bytes])[1]).toBe(hash);
  }
});
