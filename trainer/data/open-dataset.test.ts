import { expect, test } from 'vitest';
import { openDataset } from './open-dataset.ts';

test.each(['imagenet', 'npz', 'mnist:x', 'constructor:x', 'text:'])(
  '%s is not a source, and all of them are listed',
  async (spec) => {
    await expect(openDataset(spec)).rejects.toMatchObject({
      code: 'bad-data',
      hint: expect.stringMatching(/mnist.*idx:.*images:.*text:.*jsonl:.*npz:.*npy:/),
    });
  },
);
