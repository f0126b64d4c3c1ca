/** What onnxruntime refused, told as whose fault it is: the provider's, the artifact's, the machine's, or the request's. */
import { SppError } from '../../../schema/errors.ts';

const providerHints: Readonly<Record<string, string>> = {
  cuda: 'Install CUDA and cuDNN, and onnxruntime-node with its CUDA libraries (npm install onnxruntime-node with onnxruntime-node-install=cuda12), or use --ep cpu.',
  webgpu: 'WebGPU needs a graphics driver with Vulkan (VK_ICD_FILENAMES names one); or use --ep cpu.',
};

/** The reason of a `level-unavailable` that onnxruntime gave, and not the artifact. */
export const NOT_LOADED = 'not-loaded';

/** @param message onnxruntime's own */
export function refusal(level: number, ep: string, stage: 'load' | 'run', message: string): SppError {
  if (stage === 'load' && ep !== 'cpu')
    return new SppError(
      'backend-unavailable',
      `The execution provider ${ep} does not take level ${level}: ${sentence(message)}`,
      { hint: providerHints[ep] ?? 'Use --ep cpu.', retryAfterS: 5 },
    );
  if (stage === 'load')
    return new SppError(
      'level-unavailable',
      `onnxruntime does not load level ${level}: ${sentence(message)}`,
      {
        hint: 'Its files may have been removed, or made for another onnxruntime; verify the artifact.',
        details: { level, reason: NOT_LOADED },
        retryAfterS: 5,
      },
    );
  if (/alloc/i.test(message))
    return new SppError('internal', `Level ${level} ran out of memory on these inputs.`, {
      hint: 'Send a smaller batch.',
    });
  // Shapes and datatypes were checked before, so what is left is values: a token id beyond the vocabulary, say.
  return new SppError('bad-request', `The model cannot compute these inputs: ${sentence(message)}`, {
    hint: 'Compare shapes and values of the inputs with what the model was exported for.',
  });
}

/** onnxruntime's words as the end of a sentence of ours. */
function sentence(message: string): string {
  return `${message.trim().replace(/\.$/, '').replace(/\s+/g, ' ')}.`;
}
