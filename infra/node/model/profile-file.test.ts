import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { disposables, temporaryDirectory } from '../../../test/support/node-client.ts';
import { profileFile } from './profile-file.ts';

const scope = disposables();
afterEach(() => scope.dispose());

const TIMES = [{ level: 1, length: 0, batch: 2, timesMs: [1.5, 2] }];

describe('measured times on disk', () => {
  test('come back on the same device, and not on another', async () => {
    const directory = await temporaryDirectory(scope);
    await profileFile(directory, 'cpu', 2).save(TIMES);
    expect(await profileFile(directory, 'cpu', 2).load()).toEqual(TIMES);
    expect(await profileFile(directory, 'cpu', 1).load()).toEqual([]);
    expect(await profileFile(directory, 'webgpu', 2).load()).toEqual([]);
  });

  test('can be saved again before they are saved', async () => {
    const file = profileFile(await temporaryDirectory(scope), 'cpu', 2);
    const later = Array.from({ length: 10 }, (_, n) => [{ ...TIMES[0]!, timesMs: [n + 1] }]);
    await Promise.all(later.map((times) => file.save(times)));
    expect(await file.load()).toEqual(later.at(-1));
  });

  test.each(['', 'not JSON', '{"device":"x"}', '[]'])('a file of %j is as good as none', async (text) => {
    const directory = await temporaryDirectory(scope);
    await writeFile(join(directory, 'profiles.json'), text);
    expect(await profileFile(directory, 'cpu', 2).load()).toEqual([]);
  });
});
