/** Work that does not fit into memory is tried again in halves. Pure but for what it is given. */

/** As onnxruntime, TensorFlow.js and V8 say it. */
const SAYS_MEMORY =
  /bad[_ ]alloc|out of memory|out_of_memory|failed to allocate|cannot allocate|allocation failed|array buffer allocation/i;

export function isOutOfMemory(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    if (SAYS_MEMORY.test(`${at.message} ${'code' in at ? String(at.code) : ''}`)) return true;
  return false;
}

/**
 * @param size what to begin with, in examples
 * @param onHalved told the new size each time
 * @returns the result, and the size that fitted
 * @throws what `attempt` throws when it is not about memory, or about a single example
 */
export async function inHalves<Result>(
  size: number,
  attempt: (size: number) => Promise<Result>,
  onHalved: (size: number) => void,
): Promise<{ result: Result; size: number }> {
  for (let fitting = size; ; fitting = Math.ceil(fitting / 2), onHalved(fitting)) {
    try {
      return { result: await attempt(fitting), size: fitting };
    } catch (error) {
      if (fitting <= 1 || !isOutOfMemory(error)) throw error;
    }
  }
}
