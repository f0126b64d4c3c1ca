import { afterEach, describe, expect, test } from 'vitest';
import { type Artifact, openArtifact } from '../../../schema/artifact/store.ts';
import { SppError } from '../../../schema/errors.ts';
import { disposables, tinyArtifact } from '../../../test/support/node-client.ts';
import { artifactLevels } from './level-source.ts';

const scope = disposables();
afterEach(() => scope.dispose());

/** The tiny artifact, with a record of what is read and a fault to inject. */
async function watched() {
  const directory = await tinyArtifact(scope);
  const artifact = await openArtifact(directory);
  const reads: string[] = [];
  const faults = new Map<string, unknown>();
  const counting: Artifact = {
    ...artifact,
    async read(path) {
      reads.push(path);
      if (faults.has(path)) throw faults.get(path);
      return artifact.read(path);
    },
  };
  return { levels: artifactLevels(counting, 3), reads, faults };
}

describe('levels of an artifact', () => {
  test('moving up a level reads what it adds and nothing twice', async () => {
    const { levels, reads } = await watched();
    await levels.model(0);
    expect(reads.splice(0)).toEqual(['graph.onnx', 'weights-00.bin', 'own-00.bin']);
    await levels.model(2);
    expect(reads.splice(0)).toEqual(['weights-01.bin', 'weights-02.bin', 'own-02.bin']);
    await levels.model(1);
    expect(reads).toEqual(['own-01.bin']);
  });

  test('what is kept for other levels is counted, and forgotten once none of them is there', async () => {
    const { levels, reads } = await watched();
    await levels.model(2);
    const bytes = (path: string) => levels.manifest.files.find((file) => file.path === path)?.bytes ?? 0;
    const sparse = bytes('graph.onnx') + bytes('weights-00.bin');
    expect(levels.sharedBytes(0)).toBe(sparse);
    expect(levels.sharedBytes(2)).toBe(sparse + bytes('weights-01.bin') + bytes('weights-02.bin'));
    levels.keep([1]);
    reads.length = 0;
    await levels.model(1);
    expect(reads.splice(0)).toEqual(['own-01.bin']);
    await levels.model(2);
    expect(reads).toEqual(['weights-02.bin', 'own-02.bin']);
  });

  test('levels asked for at the same time share their reads', async () => {
    const { levels, reads } = await watched();
    await Promise.all([levels.model(0), levels.model(1), levels.model(2)]);
    expect(reads.toSorted()).toEqual([...new Set(reads)].toSorted());
  });

  test('a file that could not be read is named, and read again at the next call', async () => {
    const { levels, faults } = await watched();
    faults.set('weights-01.bin', new SppError('bad-artifact', 'weights-01.bin does not match its sha256.'));
    await expect(levels.model(1)).rejects.toMatchObject({
      code: 'level-unavailable',
      message: 'Level 1 of tiny cannot be served: weights-01.bin does not match its sha256.',
      retryAfterS: 3,
      details: { level: 1, reason: 'bad-artifact' },
    });
    faults.clear();
    await expect(levels.model(1)).resolves.toBeInstanceOf(Uint8Array);
  });

  test('an unforeseen failure shows nothing of its own', async () => {
    const { levels, faults } = await watched();
    faults.set('own-00.bin', new Error('EIO at /secret/place'));
    const failure = levels.model(0);
    await expect(failure).rejects.toMatchObject({
      code: 'level-unavailable',
      cause: faults.get('own-00.bin'),
    });
    await expect(failure).rejects.not.toMatchObject({ message: expect.stringContaining('secret') });
  });

  test('a level that the model does not have is unknown, not unavailable', async () => {
    const { levels } = await watched();
    await expect(levels.model(3)).rejects.toMatchObject({ code: 'unknown-level' });
  });
});
