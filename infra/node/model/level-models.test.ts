import { mkdir, rm, stat, symlink, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { openArtifact } from '../../../schema/artifact/store.ts';
import { disposables, temporaryDirectory, tinyArtifact } from '../../../test/support/node-client.ts';
import { createLogger } from '../log.ts';
import { zeroInputs } from '../tensors.ts';
import { levelModels } from './level-models.ts';

const scope = disposables();
afterEach(() => scope.dispose());

async function models(
  ep: string,
  spoil: (directory: string) => Promise<unknown> = async () => {},
  worthAFileBytes?: number,
  worthPacking?: number,
) {
  const artifact = await tinyArtifact(scope);
  const directory = await temporaryDirectory(scope);
  await spoil(directory);
  const levels = await levelModels({
    artifact: await openArtifact(artifact),
    ep,
    workers: 2,
    retryAfterS: 1,
    directory,
    log: createLogger('silent', 'test'),
    ...(worthAFileBytes === undefined ? {} : { worthAFileBytes }),
    ...(worthPacking === undefined ? {} : { worthPacking }),
  });
  scope.onDispose(() => levels.close());
  return levels;
}

describe('levels as threads load them', () => {
  test('are views of a file on the cpu, and whole on other providers', async () => {
    expect((await (await models('cpu')).model(1)).data.kind).toBe('views');
    const whole = await (await models('webgpu')).model(1);
    expect(whole.data.kind).toBe('whole');
    // What it was put together from stays for other levels.
    expect(whole.sharedBytes).toBeGreaterThan(0);
  });

  test('leave the weights of convolutions as they lie where there are next to none', async () => {
    expect((await (await models('cpu')).model(1)).data).toMatchObject({ blocksConvolutions: false });
  });

  test('count what is their own, what they share, and what packing them takes', async () => {
    const levels = await models('cpu');
    const [sparse, dense] = [await levels.model(0), await levels.model(2)];
    // Each level owns an embedding of 5 x 3 floats; the rest is shared.
    expect(dense.sharedBytes).toBe(levels.manifest.levels[2]!.bytes - 60);
    expect(sparse.sharedBytes).toBeLessThan(dense.sharedBytes);
    expect(dense.packedBytes).toBe(2 * levels.manifest.levels[2]!.bytes);
    expect(dense.ownBytes).toBe(sparse.ownBytes);
  });

  test('are packed once for all threads where they are large, and by each thread where they are small', async () => {
    const [small, large] = [await models('cpu'), await models('cpu', async () => {}, 0)];
    const bytes = small.manifest.levels[2]!.bytes;
    expect([small.packsInFile(2), (await small.model(2)).packedBytes]).toEqual([false, 2 * bytes]);
    expect([large.packsInFile(2), (await large.model(2)).packedBytes]).toEqual([true, bytes]);
    expect((await models('webgpu', async () => {}, 0)).packsInFile(2)).toBe(false);
  });

  test.each([
    ['saves enough of a run', -1, true],
    ['does not', 2, false],
  ])('are packed in a file where that %s', async (_, worthPacking, isPacked) => {
    const levels = await models('cpu', async () => {}, 0, worthPacking);
    const { feeds } = zeroInputs(levels.manifest.inputs, 2);
    const packed = await levels.packedFile(await levels.model(2), feeds);
    const paths = [...(packed?.values() ?? [])].map((how) => how.replace(/^(?:file|beside):/, ''));
    for (const path of paths) expect((await stat(path)).isFile()).toBe(true);
    // The levels below it lie beside it.
    expect([...(packed?.keys() ?? [])]).toEqual(isPacked ? [0, 1, 2] : []);
  });

  test.each([
    ['cannot be opened', (directory: string) => mkdir(join(directory, 'weights.bin'))],
    ['takes nothing', (directory: string) => symlink('/dev/full', join(directory, 'weights.bin'))],
  ])('are kept in memory where their file %s', async (_, spoil) => {
    const levels = await models('cpu', spoil);
    expect((await levels.model(1)).data.kind).toBe('whole');
  });

  test('a level that does not exist is unknown', async () => {
    await expect((await models('cpu')).model(3)).rejects.toMatchObject({ code: 'unknown-level' });
  });
});

test('weights that were cut off while no node looked after them are told, with what that does to one that runs on them', async () => {
  const artifact = await openArtifact(await tinyArtifact(scope));
  const directory = await temporaryDirectory(scope);
  const logged = async () => {
    const lines: string[] = [];
    const log = pino({}, { write: (line: string) => void lines.push(line) });
    const levels = await levelModels({ artifact, ep: 'cpu', workers: 1, retryAfterS: 1, directory, log });
    await levels.model(2);
    await levels.close();
    return lines.map((line) => JSON.parse(line));
  };
  expect(await logged()).toEqual([]);
  const { size } = await stat(join(directory, 'weights.bin'));
  await truncate(join(directory, 'weights.bin'), 100);
  expect(await logged()).toEqual([
    expect.objectContaining({ bytes: 100, wanted: size, msg: expect.stringMatching(/cut off.*SIGBUS/) }),
  ]);
  expect(await logged()).toEqual([]);
  // What was removed is still there for those who have mapped it.
  await rm(join(directory, 'weights.bin'));
  expect(await logged()).toEqual([]);
});
