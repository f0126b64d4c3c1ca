/** Levels as views of one file, held to the same levels as whole models, both run by onnxruntime. */
import { constants } from 'node:fs';
import { copyFile, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AttributeProtoSchema, ModelProtoSchema, NodeProtoSchema } from 'onnx-buf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Artifact, openArtifact } from '../../../schema/artifact/store.ts';
import { evenShares, type VitSize, writeRandomVit } from '../../../scripts/bench-node/random-vit.ts';
import { disposables, temporaryDirectory } from '../../../test/support/node-client.ts';
import { artifactLevels } from '../model/level-source.ts';
import { parseGraph } from './shared-graph.ts';
import { sharedLayout } from './shared-layout.ts';
import { openWeightFile } from './weight-file.ts';

const SIZE: VitSize = { image: 16, channels: 3, patch: 4, width: 48, heads: 3, layers: 2, classes: 10 };
const LEVELS = 3;

const scope = disposables();
afterEach(() => scope.dispose());
const shared = disposables();
const directories = new Map<string, string>();
const kindOf = (own: boolean, apart: number) => `${own} ${apart}`;
beforeAll(async () => {
  for (const [own, apart] of [
    [true, 0],
    [true, 2],
    [false, 0],
    [false, 1],
  ] as const) {
    const directory = await temporaryDirectory(shared);
    const shares = evenShares(LEVELS, 0.3);
    await writeRandomVit(directory, { id: 'vit', size: SIZE, shares, own, apart });
    directories.set(kindOf(own, apart), directory);
  }
});
afterAll(() => shared.dispose());

const artifactOf = (own: boolean, apart = 0) => openArtifact(directories.get(kindOf(own, apart))!);

async function logitsOf(session: InferenceSession): Promise<Float32Array> {
  const data = Float32Array.from({ length: 2 * 3 * 16 * 16 }, (_, i) => Math.sin(i * 0.37));
  const { logits } = await session.run({ pixel_values: new Tensor('float32', data, [2, 3, 16, 16]) });
  return logits?.data as Float32Array;
}

async function run(model: string | Uint8Array, disablePrepacking = false): Promise<Float32Array> {
  const extra = disablePrepacking ? { session: { disable_prepacking: '1' } } : {};
  const session =
    typeof model === 'string'
      ? await InferenceSession.create(model, { extra })
      : await InferenceSession.create(model, { extra });
  const logits = await logitsOf(session);
  await session.release();
  return logits;
}

/** Relative to the largest logit: another order of the same sums in float32. */
function expectNear(given: Float32Array, wanted: Float32Array): void {
  const scale = Math.max(...wanted.map(Math.abs));
  expect(given.length).toBe(wanted.length);
  for (const [i, value] of wanted.entries())
    expect(Math.abs((given[i] ?? Number.NaN) - value) / scale, `logit ${i}`).toBeLessThan(2e-5);
}

/** Projections as Gemm, half of them with turned weights, as other exporters have them. */
async function asGemm(artifact: Artifact): Promise<Artifact> {
  const graph = fromBinary(ModelProtoSchema, await artifact.read(artifact.manifest.graph));
  const proto = graph.graph!;
  const names = artifact.manifest.tensors.map(({ name }) => name);
  proto.node = proto.node.flatMap((node) => {
    const weight =
      node.opType === 'MatMul' && names.includes(node.input[1] ?? '') ? node.input[1] : undefined;
    if (weight === undefined || !/\.(?:q|fc2)\.weight$/.test(weight)) return [node];
    // Gemm takes matrices only, so the tokens are folded into the rows and unfolded by the shape of what came.
    const [output = '', rows, shape, out] = [
      node.output[0],
      `${weight}/rows`,
      `${weight}/shape`,
      `${weight}/out`,
    ];
    const make = (opType: string, input: string[], to: string, ints: Record<string, number> = {}) =>
      create(NodeProtoSchema, {
        opType,
        input,
        output: [to],
        attribute: Object.entries(ints).map(([name, i]) =>
          create(AttributeProtoSchema, { name, type: 2, i: BigInt(i) }),
        ),
      });
    return [
      make('Shape', [node.input[0]!], shape, { start: 0, end: 2 }),
      make('Flatten', [node.input[0]!], rows, { axis: 2 }),
      make('Gemm', [rows, weight], out),
      make('Shape', [out], `${weight}/tail`, { start: 1, end: 2 }),
      make('Concat', [shape, `${weight}/tail`], `${weight}/whole`, { axis: 0 }),
      make('Reshape', [out, `${weight}/whole`], output),
    ];
  });
  const bytes = toBinary(ModelProtoSchema, graph);
  return {
    ...artifact,
    read: async (path) => (path === artifact.manifest.graph ? bytes : artifact.read(path)),
  };
}

describe('levels as views of one file', () => {
  test.each([
    ['with output matrices of their own', true, 0],
    ['of which the sparsest own all, the others output matrices', true, 2],
    ['that share all matrices', false, 0],
    ['of which the sparsest owns all, the others nothing', false, 1],
  ])('%s answer as whole models do, packed or not', async (_, own, apart) => {
    const artifact = await artifactOf(own, apart);
    const file = await openWeightFile(artifact, await temporaryDirectory(scope));
    const whole = artifactLevels(artifact, 1);
    for (let level = 0; level < LEVELS; level++) {
      const wanted = await run(await whole.model(level));
      const path = await file.model(level);
      expectNear(await run(path), wanted);
      expectNear(await run(path, true), wanted);
    }
    await file.close();
  });

  test('take projections that are Gemm, with the units on either side', async () => {
    const artifact = await asGemm(await artifactOf(false));
    const file = await openWeightFile(artifact, await temporaryDirectory(scope));
    const whole = artifactLevels(artifact, 1);
    for (let level = 0; level < LEVELS; level++)
      expectNear(await run(await file.model(level)), await run(await whole.model(level)));
    await file.close();
  });

  test('lie apart, every matrix once, and take no more room than the dense model and a page for each', async () => {
    const artifact = await artifactOf(false);
    const { manifest } = artifact;
    const layout = sharedLayout(manifest, parseGraph(await artifact.read(manifest.graph)));
    const matrices = [...layout.places.values()].filter((place) => place.kind === 'rows');
    // Query, key, value, projection and two of the MLP a layer; what all levels share as it is stands beside them.
    expect(matrices.filter((place) => place.turned).length).toBe(2 * 5);
    expect(layout.bytes).toBeLessThan(
      manifest.levels.at(-1)!.bytes + 4096 * LEVELS * manifest.tensors.length,
    );
    const starts = [...layout.places.values()].flatMap((place) =>
      place.kind === 'rows' ? [place.offset] : [],
    );
    expect(new Set(starts).size).toBe(starts.length);
    expect(starts.every((offset) => offset % 4096 === 0)).toBe(true);
  });
});

describe('the file', () => {
  /** An artifact that tells what is read of it. */
  async function counted(apart = 0) {
    const artifact = await artifactOf(true, apart);
    const reads: string[] = [];
    const counting: Artifact = {
      ...artifact,
      read(path) {
        reads.push(path);
        return artifact.read(path);
      },
    };
    return { artifact: counting, reads };
  }

  test('is filled level by level, and taken up again by the next start', async () => {
    const { artifact, reads } = await counted();
    const directory = await temporaryDirectory(scope);
    const first = await openWeightFile(artifact, directory);
    await first.model(0);
    expect(reads.splice(0)).toEqual(['graph.onnx', 'weights-00.bin', 'own-00.bin']);
    await first.model(2);
    expect(reads.splice(0)).toEqual(['weights-01.bin', 'weights-02.bin', 'own-02.bin']);
    await first.close();
    const second = await openWeightFile(artifact, directory);
    await second.model(1);
    expect(reads).toEqual(['graph.onnx', 'own-01.bin']);
    await second.close();
  });

  test('asks for no chunk of which a level reads nothing', async () => {
    const { artifact, reads } = await counted(2);
    const file = await openWeightFile(artifact, await temporaryDirectory(scope));
    await file.model(1);
    expect(reads.splice(0)).toEqual(['graph.onnx', 'own-01.bin']);
    await file.model(2);
    expect(reads).toEqual(['weights-00.bin', 'weights-01.bin', 'weights-02.bin', 'own-02.bin']);
    await file.close();
  });

  test('is read anew from the artifact where it was damaged or cut off meanwhile', async () => {
    const { artifact, reads } = await counted();
    const directory = await temporaryDirectory(scope);
    const first = await openWeightFile(artifact, directory);
    const wanted = await run(await first.model(2));
    await first.close();
    reads.length = 0;
    const weights = await open(join(directory, 'weights.bin'), 'r+');
    await weights.write(Uint8Array.of(1, 2, 3, 4), 0, 4, first.layout.ownOffsets[2]);
    await weights.close();
    const second = await openWeightFile(artifact, directory);
    expect(await run(await second.model(2))).toEqual(wanted);
    expect(reads).toEqual(['graph.onnx', 'own-02.bin']);
    await second.close();
    await rm(join(directory, 'weights.bin'));
    const third = await openWeightFile(artifact, directory);
    expect(await run(await third.model(2))).toEqual(wanted);
    await third.close();
  });

  test('that somebody has written to or cut off is put right under those who have mapped it', async () => {
    const { artifact, reads } = await counted();
    const directory = await temporaryDirectory(scope);
    const file = await openWeightFile(artifact, directory);
    const wanted = await run(await file.model(2), true);
    const asItLies = { extra: { session: { disable_prepacking: '1' } } };
    const session = await InferenceSession.create(await file.model(2), asItLies);
    reads.length = 0;
    expect(await file.mend()).toEqual({ placed: [], lost: new Map() });

    const weights = await open(join(directory, 'weights.bin'), 'r+');
    await weights.write(new Uint8Array(4096).fill(0x42), 0, 4096, file.layout.ownOffsets[2]);
    expect(await logitsOf(session)).not.toEqual(wanted);
    expect(await file.mend()).toEqual({ placed: ['own-02.bin'], lost: new Map() });
    expect(await logitsOf(session)).toEqual(wanted);

    await weights.truncate(0);
    await weights.close();
    const { placed } = await file.mend();
    expect(placed).toContain('weights-00.bin');
    expect(await logitsOf(session)).toEqual(wanted);
    expect(await file.mend()).toEqual({ placed: [], lost: new Map() });
    await session.release();
    await file.close();
  });

  test('tells what cannot be put right, and tries it again when it is asked for', async () => {
    const { artifact } = await counted();
    const directory = await temporaryDirectory(scope);
    let away = false;
    const file = await openWeightFile(
      { ...artifact, read: (...of) => (away ? Promise.reject(new Error('away')) : artifact.read(...of)) },
      directory,
    );
    const wanted = await run(await file.model(2));
    away = true;
    await writeFile(join(directory, 'weights.bin'), new Uint8Array(file.layout.bytes));
    expect([...(await file.mend()).lost.keys()]).toContain('own-02.bin');
    await expect(file.model(2)).rejects.toThrow('away');
    away = false;
    expect(await run(await file.model(2))).toEqual(wanted);
    await file.close();
  });

  test('is not marked as filled by a chunk whose bytes are wrong', async () => {
    const directory = await temporaryDirectory(scope);
    const from = directories.get(kindOf(true, 0))!;
    const copy = await temporaryDirectory(scope);
    for (const name of await readdir(from))
      await copyFile(join(from, name), join(copy, name), constants.COPYFILE_FICLONE);
    const bytes = await readFile(join(copy, 'weights-01.bin'));
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    await writeFile(join(copy, 'weights-01.bin'), bytes);
    const file = await openWeightFile(await openArtifact(copy), directory);
    await file.model(0);
    await expect(file.model(1)).rejects.toMatchObject({ code: 'bad-artifact' });
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    await writeFile(join(copy, 'weights-01.bin'), bytes);
    const wanted = await run(await artifactLevels(await artifactOf(true), 1).model(1));
    expectNear(await run(await file.model(1)), wanted);
    await file.close();
  });
});
