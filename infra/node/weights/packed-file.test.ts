import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterEach, describe, expect, test } from 'vitest';
import { openArtifact } from '../../../schema/artifact/store.ts';
import { processMark } from '../../../schema/process-alive.ts';
import { disposables, temporaryDirectory, tinyArtifact } from '../../../test/support/node-client.ts';
import { tinyReference } from '../../../test/support/tiny-model.ts';
import { packedFile } from './packed-file.ts';
import { openWeightFile } from './weight-file.ts';

const scope = disposables();
afterEach(() => scope.dispose());

async function levels() {
  const directory = await temporaryDirectory(scope);
  const file = await openWeightFile(await openArtifact(await tinyArtifact(scope)), directory);
  scope.onDispose(() => file.close());
  const packed = await packedFile(directory);
  scope.onDispose(() => packed.close());
  const homes = async () => (await readdir(directory)).filter((name) => name.startsWith('packed-'));
  return { directory, file, packed, homes };
}

describe('a packed file', () => {
  test('is a model that answers as its level does, also once it has been removed', async () => {
    const { file, packed, homes } = await levels();
    const session = await InferenceSession.create((await packed.pack(1, await file.model(1))).path, {
      graphOptimizationLevel: 'disabled',
    });
    await packed.close();
    expect(await homes()).toEqual([]);
    const { logits } = await session.run({
      x: new Tensor('float32', Float32Array.of(0.5, -1, 2, 0.25), [1, 4]),
      token: new Tensor('int64', BigInt64Array.of(3n), [1]),
    });
    const wanted = tinyReference(1, [[0.5, -1, 2, 0.25]], [3]).logits.flat();
    for (const [i, value] of [...(logits!.data as Float32Array)].entries())
      expect(value).toBeCloseTo(wanted[i]!, 5);
    await session.release();
  });

  test('is made once a level, one level at a time', async () => {
    const { file, packed, homes } = await levels();
    const [one, same] = await Promise.all(
      [0, 0].map(async (level) => packed.pack(level, await file.model(level))),
    );
    expect(same).toBe(one);
    const other = await packed.pack(1, await file.model(1));
    expect(await homes()).toEqual([dirname(other.path).split('/').at(-1)]);
  });

  test('has other levels beside it as they come', async () => {
    const { file, packed, homes } = await levels();
    const [sparse, dense] = [await file.model(0), await file.model(2)];
    const first = await packed.pack(2, dense, new Map([[0, sparse]]));
    expect([...first.beside.keys()]).toEqual([0]);
    const more = await packed.pack(
      2,
      dense,
      new Map([
        [0, sparse],
        [1, await file.model(1)],
      ]),
    );
    expect([...more.beside.keys()]).toEqual([0, 1]);
    expect(more.path).toBe(first.path);
    expect(await homes()).toHaveLength(1);
    for (const path of more.beside.values()) await (await InferenceSession.create(path)).release();
    // One that cannot be made leaves the others as they are.
    await expect(packed.pack(2, dense, new Map([[5, '/no/such.onnx']]))).rejects.toThrow(/no\/such/);
    expect(await packed.pack(2, dense)).toEqual(more);
  });

  test('fails with a reason, leaves nothing behind, and can be tried again at another level', async () => {
    const { directory, file, packed, homes } = await levels();
    await expect(packed.pack(0, join(directory, 'no-such.onnx'))).rejects.toThrow(/no-such/);
    expect(await homes()).toEqual([]);
    expect((await packed.pack(1, await file.model(1))).path).toContain('packed-');
  });

  test.runIf(process.platform === 'linux')(
    'that was left under the id that this process has now is removed, as a container gives the same one at each start',
    async () => {
      const directory = await temporaryDirectory(scope);
      await mkdir(join(directory, `packed-${process.pid}.1-x`));
      const packed = await packedFile(directory);
      expect(await readdir(directory)).toEqual([]);
      await packed.close();
    },
  );

  test('that the disk does not let go of is left behind, and ends nothing', async () => {
    const directory = await temporaryDirectory(scope);
    const packed = await packedFile(directory);
    await expect(packed.pack(0, join(directory, 'no-such-model.onnx'))).rejects.toThrow();
    await rm(directory, { recursive: true });
    await writeFile(directory, 'no directory any more');
    await packed.close();
  });

  test('of a process that is no more is removed, that of one that runs is not', async () => {
    const directory = await temporaryDirectory(scope);
    // Linux gives no process an id this high.
    for (const mark of [`${2 ** 30}.1`, processMark()]) await mkdir(join(directory, `packed-${mark}-x`));
    const packed = await packedFile(directory);
    expect(await readdir(directory)).toEqual([`packed-${processMark()}-x`]);
    await packed.close();
  });
});
