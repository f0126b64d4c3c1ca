import { expect, test } from 'vitest';
import { keepFullPrecision } from './full-precision.ts';

test('float32 on CUDA is float32, unless the environment asks for less', () => {
  const silent: NodeJS.ProcessEnv = {};
  keepFullPrecision(silent);
  const asked: NodeJS.ProcessEnv = { NVIDIA_TF32_OVERRIDE: '1' };
  keepFullPrecision(asked);
  expect([silent.NVIDIA_TF32_OVERRIDE, asked.NVIDIA_TF32_OVERRIDE]).toEqual(['0', '1']);
});
