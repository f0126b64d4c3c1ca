import { expect, test } from 'vitest';
import { readModelFile, readOnnxFile } from './onnx-load.ts';

test.each([
  ['missing.onnx', 'ENOENT'],
  [import.meta.dirname, 'EISDIR'],
])('a file that cannot be read is refused with why: %s', (path, why) => {
  const refused = expect.objectContaining({
    code: 'bad-model',
    message: expect.stringMatching(`${path}.*${why}`),
  });
  for (const read of [readOnnxFile, readModelFile]) expect(() => read(path)).toThrow(refused);
});
