import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { openArtifact } from '../../../schema/artifact/store.ts';
import { disposables, temporaryDirectory, tinyArtifact } from '../../../test/support/node-client.ts';
import { TINY } from '../../../test/support/tiny-model.ts';
import { type SpawnThread, spawnSessionThread, type Thread } from '../execution/asked-thread.ts';
import type { ToThread } from '../execution/messages.ts';
import { createLogger } from '../log.ts';
import { zeroInputs } from '../tensors.ts';
import { levelModels } from './level-models.ts';
import type { ProfileFile } from './profile-file.ts';
import { type ServedModelOptions, servedModel } from './served-model.ts';

const scope = disposables();
afterEach(() => scope.dispose());

async function tiny(options: Partial<ServedModelOptions> = {}, worthAFileBytes?: number) {
  const directory = await tinyArtifact(scope);
  const kept = await temporaryDirectory(scope);
  const workers = options.workers ?? 1;
  const log = createLogger('silent', 'test');
  const artifact = await openArtifact(directory);
  const model = servedModel({
    source: await levelModels({
      artifact,
      ep: 'cpu',
      workers,
      retryAfterS: 1,
      directory: kept,
      log,
      ...(worthAFileBytes === undefined ? {} : { worthAFileBytes, worthPacking: -1 }),
    }),
    workers,
    ep: 'cpu',
    lingerMs: 0,
    queueLimit: 8,
    maxBatch: 4,
    memoryBudgetBytes: 2 ** 30,
    progressive: true,
    log,
    ...options,
  });
  scope.onDispose(() => model.close());
  const profiled = () =>
    model
      .report()
      .levels.filter(({ profiles }) => profiles.length > 0)
      .map(({ level }) => level);
  return { model, profiled, kept };
}

describe('a served model', () => {
  test('is usable only when all its levels are measured, if that is quick', async () => {
    const { model, profiled } = await tiny();
    const atUse: number[][] = [];
    await model.measure(() => atUse.push(profiled()));
    expect(atUse).toEqual([[0, 1, 2]]);
  });

  test('is usable once its sparsest and its dense level are measured, if all take long', async () => {
    const { model, profiled } = await tiny({ measureBudgetMs: 0 });
    const atUse: number[][] = [];
    await model.measure(() => atUse.push(profiled()));
    expect(atUse[0]).toEqual([0, 2]);
    expect(profiled()).toEqual([0, 1, 2]);
  });

  test('packs the dense level once for all threads where that saves memory, and takes that away again', async () => {
    const messages: ToThread[] = [];
    const spawn: SpawnThread = (data) => {
      const thread = spawnSessionThread(data);
      return {
        on: thread.on.bind(thread) as Thread['on'],
        postMessage(message) {
          messages.push(message);
          thread.postMessage(message);
        },
      };
    };
    const { model, kept } = await tiny({ workers: 2, spawn }, 0);
    const packedOf = (level: number) =>
      messages.flatMap((message) =>
        'model' in message && message.model && message.level === level ? [message.model.packed] : [],
      );
    await model.measure();
    const homes = async () => (await readdir(kept)).filter((name) => name.startsWith('packed-'));
    const [home] = await homes();
    expect(new Set(packedOf(2))).toEqual(new Set([`file:${join(kept, home ?? '', 'packed.onnx')}`]));
    // Sessions that there are give way in quiet moments, which are looked for once a second.
    await expect
      .poll(() => packedOf(0), { timeout: 10_000 })
      .toContain(`beside:${join(kept, home ?? '', 'beside-0.onnx')}`);
    await model.close();
    expect(await homes()).toEqual([]);
  });

  test('measures once, however often it is asked to', async () => {
    const { model } = await tiny();
    await Promise.all([model.measure(), model.measure()]);
    await model.measure();
    expect(model.report().levels.map(({ profiles }) => profiles[0]?.samples)).toEqual([30, 30, 30]);
  });

  test('is measured in the batch sizes in which requests will share runs', async () => {
    const sizes = async (maxBatch: number) => {
      const { model } = await tiny({ maxBatch });
      await model.measure();
      return model.report().levels.map(({ profiles }) => profiles.map(({ batch }) => batch));
    };
    expect(await sizes(6)).toEqual(Array(3).fill([1, 2, 4, 6]));
    expect(await sizes(1)).toEqual(Array(3).fill([1]));
  });

  test('serves all levels in turn within a memory budget that holds few of them', async () => {
    const { model } = await tiny({ memoryBudgetBytes: 1 });
    const inputs = zeroInputs(model.manifest.inputs);
    for (const level of [2, 1, 0, 1, 2, 0]) {
      await model.infer({ level, minLevel: level, inputs, outputs: ['logits'], deadlineMs: undefined });
      const resident = model.report().levels.filter((entry) => entry.resident);
      expect(resident.map((entry) => entry.level)).toContain(level);
      expect(resident.length).toBeLessThanOrEqual(2);
    }
    expect(model.denseLevel).toBe(TINY.widths.length - 1);
  });

  test('makes anew what it has made of weights that somebody had overwritten', async () => {
    // So that levels are loaded again and again.
    const { model, kept } = await tiny({ memoryBudgetBytes: 1 });
    await model.measure();
    const inputs = zeroInputs(model.manifest.inputs);
    const answers = async () => {
      const data: unknown[] = [];
      for (const level of [0, 1, 2, 0]) {
        const request = { level, minLevel: level, outputs: ['logits'], deadlineMs: undefined };
        const { outputs } = await model.infer({ ...request, inputs });
        data.push(outputs[0]?.data);
      }
      return data;
    };
    const right = await answers();
    const weights = join(kept, 'weights.bin');
    const file = await open(weights, 'r+');
    await file.write(new Uint8Array((await file.stat()).size).fill(0x42), 0);
    await file.close();
    expect(await answers()).not.toEqual(right);
    await model.measure();
    expect(await answers()).toEqual(right);
  });

  test('is measured and served where its weights on disk cannot be looked at', async () => {
    const source = await levelModels({
      artifact: await openArtifact(await tinyArtifact(scope)),
      ep: 'cpu',
      workers: 1,
      retryAfterS: 1,
      directory: await temporaryDirectory(scope),
      log: createLogger('silent', 'test'),
    });
    const mend = () => Promise.reject(new Error('stale file handle'));
    const { model, profiled } = await tiny({ source: { ...source, mend } });
    await model.measure();
    expect(profiled()).toEqual([0, 1, 2]);
  });

  test('measures anew what an earlier process measured on a machine that was busier', async () => {
    const timesMs = Array(64).fill(5000);
    const profiles: ProfileFile = {
      load: async () =>
        [0, 1, 2].flatMap((level) => [1, 4].map((batch) => ({ level, length: 0, batch, timesMs }))),
      save: async () => {},
    };
    const { model } = await tiny({ profiles });
    await model.measure();
    const { levels } = model.report();
    expect(levels.map(({ profiles: measured }) => measured.length > 0)).toEqual([true, true, true]);
    for (const { p50Ms, samples } of levels.flatMap(({ profiles: measured }) => measured)) {
      expect(p50Ms).toBeLessThan(5000);
      expect(samples).toBeLessThan(64);
    }
  });
});
