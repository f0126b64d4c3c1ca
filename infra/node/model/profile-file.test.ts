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

  test.each(['', 'not JSON', '{"device":"x"}', '[]'])('a file of %j is as good as none', async (text) => {
    const directory = await temporaryDirectory(scope);
    await writeFile(join(directory, 'profiles.json'), text);
    expect(await profileFile(directory, 'cpu', 2).load()).toEqual([]);
  });
});
