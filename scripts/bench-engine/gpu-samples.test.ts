import { expect, test } from 'vitest';
import { readSamples } from './gpu-samples.ts';

test('averages what nvidia-smi printed', () => {
  expect(readSamples('0, 4\n50, 900\n100, 1200\n')).toEqual({
    samples: 3,
    meanUtilisation: 50,
    peakUtilisation: 100,
    peakMiB: 1200,
  });
});

test('a line that was cut off and a GPU that does not say count as nothing', () => {
  expect(readSamples('[N/A], 12\n70, 30\n9')).toMatchObject({ samples: 1, meanUtilisation: 70 });
  expect(readSamples('')).toBeUndefined();
});
