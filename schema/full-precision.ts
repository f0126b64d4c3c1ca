/** On CUDA, float32 matrix products are rounded to TF32 unless somebody objects: gradients then are 1e-3 from the cpu's, answers too. */

const SWITCH = 'NVIDIA_TF32_OVERRIDE';

/**
 * Has CUDA's libraries compute float32 products in float32, for what this process starts on CUDA from now on. Worker threads cannot say
 * so, their environment is a copy: the main thread does, before them. Who set the variable keeps what it says, 1 for speed.
 */
export function keepFullPrecision(environment: NodeJS.ProcessEnv = process.env): void {
  environment[SWITCH] ??= '0';
}
